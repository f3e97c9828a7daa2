"""The vector index that the settings name."""

from __future__ import annotations

from core.settings import Settings
from embed.index.base import VectorIndex
from embed.index.edge import EdgeIndex
from embed.index.hosted import HostedIndex
from embed.index.server import ServerIndex
from embed.index.server_options import ServerOptions


def make_index(settings: Settings, *, hosted: bool = False) -> VectorIndex:
    """The index in force: on the server at `index_url`, else embedded in `data_dir`. Nothing is opened yet.

    `hosted`: an embedded one runs in a process of its own, as serving wants it.
    """
    if settings.index_url is None:
        return HostedIndex(settings.index_dir) if hosted else EdgeIndex(settings.index_dir)
    key = settings.index_api_key
    return ServerIndex(
        settings.index_url,
        None if key is None else key.get_secret_value(),
        grpc_port=settings.index_grpc_port,
        timeout_s=settings.index_timeout_s,
        options=ServerOptions.of(settings),
    )
