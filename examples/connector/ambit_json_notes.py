"""Notes of one JSON file: `{"folder": {"readers": ["group:a"], "notes": {"id": {"title": "…", "text": "…"}}}}`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from core.errors import InvalidError
from ingest.model import (
    Change,
    Checkpoint,
    ConnectorConfig,
    ConnectorContext,
    Content,
    Element,
    EmptyError,
    ItemError,
    ItemRef,
    JsonObject,
    NodeChange,
    Problem,
    SourceError,
    Upsert,
    VanishedError,
)
from policies.model import CLOSED, AccessSpec, access_spec

CHECKPOINT_EVERY = 100


class JsonNotesConfig(ConnectorConfig):
    """Every key that a source's `config` may hold; the description is what people are shown."""

    path: str = Field(min_length=1, description="The file, relative to the YAML file that registers the source.")


class JsonNotesConnector:
    """Lists every note with the access of its folder."""

    name: ClassVar[str] = "json-notes"
    title: ClassVar[str] = "JsonNotes"
    summary: ClassVar[str] = "Notes of one JSON file, with access by folder."
    Config: ClassVar[type[ConnectorConfig]] = JsonNotesConfig

    def __init__(self, config: JsonNotesConfig, context: ConnectorContext) -> None:
        # No input or output here: a connector is also made to see whether its configuration fits.
        self._path = context.base / config.path
        self._context = context

    def check(self) -> None:
        """Says what is wrong before a sync does; raises SourceError."""
        self._load()

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Everything there is, in a stable order, so that a listing that was cut off goes on after its checkpoint."""
        after = (cursor or {}).get("after", "")
        # The registration's access holds at the root, where the source itself states none.
        yield NodeChange("", None, "Notes", replace(self._context.root_access, mode="break"))
        sent = 0
        for folder, body in sorted(self._load().items()):
            spec, problem = _access(folder, body)
            yield NodeChange(folder, "", folder, spec)
            if problem:
                yield problem
            for key, note in sorted(body.get("notes", {}).items()):
                item = _item(folder, key, note)
                if item.id <= after:
                    continue
                yield Upsert(item)
                sent += 1
                if sent % CHECKPOINT_EVERY == 0:
                    yield Checkpoint({"after": item.id})
        # Complete and full: what was not sent is deleted. Never end so when something could not be seen.
        yield Checkpoint({"done": True}, complete=True, full=True)

    def fetch(self, item: ItemRef) -> Content:
        """One note, only as it was listed: its access may have changed with its text."""
        try:
            note = self._load().get(item.node, {}).get("notes", {}).get(item.data["key"])
        except SourceError as error:
            raise ItemError("ambit_json_notes_unreadable", f"{item.id}: {error.detail}", transient=True) from error
        if note is None:
            raise VanishedError(f"{item.id} is gone")
        if _version(note) != item.version:
            raise ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
        if not note["text"].strip():
            raise EmptyError(f"{item.id} says nothing")
        return Content(item.id, elements=(Element("text", note["text"]),), title=note["title"])

    def close(self) -> None:
        """Nothing is held open."""

    def _load(self) -> dict[str, Any]:
        try:
            body = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._path} cannot be read: {type(error).__name__}") from None
        if not isinstance(body, dict):
            raise SourceError(f"{self._path} holds no object")
        return body


def _access(folder: str, body: dict[str, Any]) -> tuple[AccessSpec, Problem | None]:
    """Who may read a folder; what is not understood closes it and is reported, without the value."""
    if "readers" not in body:
        return AccessSpec(), None  # nothing of its own: the root's access holds
    try:
        return access_spec(body["readers"], mode="break"), None
    except (InvalidError, TypeError):
        return CLOSED, Problem(folder, "access_malformed", f"{folder}: readers cannot be read; nobody can read it")


def _item(folder: str, key: str, note: dict[str, Any]) -> ItemRef:
    return ItemRef(
        id=f"{folder}/{key}",  # stable, and made from neither content nor access
        node=folder,
        title=note["title"],
        uri=f"json-notes:{folder}/{key}",
        version=_version(note),
        data={"key": key},  # plain JSON, for fetch
    )


def _version(note: dict[str, Any]) -> str:
    """Changes when the content does, and not when its access does."""
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()[:32]
