"""What the processes of an installation with workers do: one works at stages, one answers over HTTP."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.settings import Settings
from embed.stack import VectorStack
from ingest.connectors.folder import FolderConnector
from ingest.model import Content, ItemRef
from tests.factories.encoders import WordEncoder
from tests.factories.fault_child import served
from tests.factories.installation import Installation
from workers.run import run_worker


@dataclass(frozen=True)
class Duty:
    """What one worker does.

    Attributes:
        delay_s: seconds that encoding one text takes.
        hang: a fetch that finds this file removes it, and hangs; whatever is raised, where the file says `for ever`.
    """

    settings: dict[str, Any]
    stages: Sequence[str] = ()
    beat: bool = False
    pool: str = "solo"
    delay_s: float = 0.01
    hang: str | None = None


def work(duty: Duty) -> None:
    """Works until it is told to end."""
    first_init = VectorStack.__init__

    def init(stack: VectorStack, *arguments: Any) -> None:
        first_init(stack, *arguments)
        stack.__dict__["_encoder"] = WordEncoder(duty.delay_s)

    VectorStack.__init__ = init  # type: ignore[method-assign]
    if duty.hang is not None:
        FolderConnector.fetch = hanging(Path(duty.hang), FolderConnector.fetch)  # type: ignore[method-assign]
    run_worker(Settings(_env_file=None, **duty.settings), stages=duty.stages, beat=duty.beat, pool=duty.pool)


def hanging(sign: Path, fetch: Callable[..., Content]) -> Callable[..., Content]:
    def fetched(connector: FolderConnector, item: ItemRef) -> Content:
        if sign.exists():
            stubborn = sign.read_text() == "for ever"
            sign.unlink()
            with suppress(Exception) if stubborn else nullcontext():
                time.sleep(600)
            time.sleep(600 if stubborn else 0)
        return fetch(connector, item)

    return fetched


def answer(data_dir: str, settings: dict[str, Any], port: int) -> None:
    """Answers over HTTP until it is killed."""
    place = Installation(Path(data_dir), **settings)
    place.runtime.warm_up()
    with served(place, port):
        signal.pause()
