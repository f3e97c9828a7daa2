"""Listings that fail half way, and connectors that send only changes: nothing that stands at the source is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import InvalidError
from ingest.model import Change, Checkpoint, Content, ItemError, ItemRef, JsonObject, NodeChange, SourceError, Upsert
from policies.model import access_spec
from tests.factories.installation import Installation

NAMES = ("a", "b", "c", "d", "e", "f")


class Scripted:
    """A source of six notes with a checkpoint after each; it fails where it is told to."""

    def __init__(self) -> None:
        self.fails_after: int | None = None
        self.broken: set[str] = set()
        self.incremental = False
        self.cursors: list[JsonObject | None] = []

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        self.cursors.append(cursor)
        after = (cursor or {}).get("after", "")
        done = bool(cursor and cursor.get("done"))
        yield NodeChange("", None, "notes", access_spec(["everyone"], mode="break"))
        for at, name in enumerate(NAMES):
            if name > after and not (done and self.incremental):
                yield Upsert(ItemRef(id=name, node="", title=name, uri=f"note:{name}", version="1"))
                yield Checkpoint({"after": name})
            if self.fails_after == at:
                raise InvalidError("the source is misconfigured half way")
        yield Checkpoint({"done": True}, complete=True, full=not (done and self.incremental))

    def fetch(self, item: ItemRef) -> Content:
        if item.id in self.broken:
            raise ItemError("file_broken", f"{item.id}: broken")
        return Content(name=f"{item.id}.txt", body=f"Note {item.id} is about a duck.".encode())

    def close(self) -> None:
        return


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def place(tmp_path: Path, scripted: Scripted) -> Iterator[Installation]:
    installation = Installation(tmp_path / "data")
    installation.runtime.pipeline.connectors.open = lambda source: scripted  # type: ignore[method-assign,assignment,return-value]
    installation.add_source("files", "folder", {"path": "."})
    yield installation
    installation.close()


def test_a_listing_that_failed_half_way_makes_the_next_one_delete_nothing(
    place: Installation, scripted: Scripted
) -> None:
    assert place.sync().state == "succeeded"
    scripted.fails_after = 2
    assert place.sync().state == "failed"
    scripted.fails_after = None
    run = place.sync()
    assert (run.state, run.deleted, run.listed) == ("succeeded", 0, len(NAMES))
    assert set(place.documents()) == set(NAMES)


def test_a_listing_that_fails_for_a_while_goes_on_from_its_checkpoint(place: Installation, scripted: Scripted) -> None:
    first = scripted.changes

    def away_once(cursor: JsonObject | None) -> Iterator[Change]:
        scripted.changes = first  # type: ignore[method-assign]
        for at, change in enumerate(first(cursor)):
            if at == 5:
                raise SourceError("away")
            yield change

    scripted.changes = away_once  # type: ignore[method-assign]
    assert place.sync().state == "succeeded"
    assert scripted.cursors == [None, {"after": "b"}]
    assert set(place.documents()) == set(NAMES)


def test_an_item_that_failed_is_sent_again_by_a_source_that_sends_changes(
    place: Installation, scripted: Scripted
) -> None:
    scripted.incremental = True
    scripted.broken = {"c"}
    assert place.sync().state == "partial"
    scripted.broken = set()
    assert place.sync().state == "succeeded"
    assert set(place.documents()) == set(NAMES)
    assert place.sync().listed == 0
