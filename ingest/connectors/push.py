"""Documents that applications send over the API: nothing is listed and nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from ingest.model import (
    Change,
    Checkpoint,
    ConnectorConfig,
    ConnectorContext,
    Content,
    ItemError,
    ItemRef,
    JsonObject,
    NodeChange,
)


class PushConfig(ConnectorConfig):
    """Takes no settings: every document brings what it needs."""


class PushConnector:
    """A source whose documents arrive by themselves; a run only states the access of its root."""

    name: ClassVar[str] = "push"
    title: ClassVar[str] = "Documents sent over the API"
    summary: ClassVar[str] = "Applications upload documents together with the access that governs them."
    Config: ClassVar[type[ConnectorConfig]] = PushConfig

    def __init__(self, config: PushConfig, context: ConnectorContext) -> None:
        self._root_access = context.root_access

    def check(self) -> None:
        """Nothing to reach."""

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """The root's access, then the end of a listing that is not full: nothing is ever deleted by it."""
        yield NodeChange("", None, "Uploads", replace(self._root_access, mode="break"))
        yield Checkpoint({"done": True}, complete=True, full=False)

    def fetch(self, item: ItemRef) -> Content:
        """Refuses: what was uploaded is stored already.

        Raises:
            ItemError: always.
        """
        raise ItemError("push_has_no_fetch", f"{item.id} was uploaded; its content is stored and not fetched")

    def close(self) -> None:
        """Holds nothing."""
