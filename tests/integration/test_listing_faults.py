"""Listings that fail half way, and connectors that send only changes: nothing that stands at the source is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import InvalidError
from ingest.model import (
    Change,
    Checkpoint,
    Content,
    ItemError,
    ItemRef,
    JsonObject,
    MembershipChange,
    NodeChange,
    SourceError,
    Upsert,
)
from policies.directory import put_app
from policies.model import access_spec
from policies.subject import Caller
from retrieve.model import Question
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


def test_an_app_that_a_source_puts_into_a_group_is_noted_and_gets_nothing(place: Installation) -> None:
    class Grouped(Scripted):
        def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
            yield MembershipChange("readers", ("user:ana", "app:desk"))
            yield NodeChange("", None, "notes", access_spec(["group:readers"], mode="break"))
            yield Upsert(ItemRef(id="a", node="", title="a", uri="note:a", version="1"))
            yield Checkpoint({"done": True}, complete=True, full=True)

    place.runtime.pipeline.connectors.open = lambda source: Grouped()  # type: ignore[method-assign,assignment,return-value]
    place.add_user("ana")
    place.add_user("bob")
    with place.db.write() as session:
        put_app(session, place.tenant, "desk", acts_for=["everyone"])
    run = place.sync()
    assert run.state == "succeeded"
    (note,) = [item for item in place.items(run.id).values() if item.stage == "listed"]
    assert (note.external_id, note.state) == ("group:readers", "skipped")
    assert "app:desk is in it at the source" in (note.note or "")
    assert len(place.search("ana", "duck")) == 1
    assert place.search("bob", "duck") == ()
    through = place.runtime.retriever.retrieve(Caller(place.tenant, "bob", "desk"), Question("duck"))
    assert through.passages == (), "who asks through the app is no member either"
