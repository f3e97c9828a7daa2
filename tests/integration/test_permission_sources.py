"""A permission run of a folder and of a database: access is anew, no content is read, and none is shown too widely."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.tables import Document, Run, Source
from ingest.connectors import files
from ingest.model import AccessChange, Change, JsonObject
from ingest.stages import STAGES
from policies.model import access_spec
from tests.factories.installation import Installation
from tests.factories.scripted import CrawledSource

ANA = access_spec(["user:ana"], mode="break")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path / "data")
    for user in ("ana", "bob"):
        installation.add_user(user)
    yield installation
    installation.close()


def found(place: Installation, user: str) -> list[str]:
    return sorted(one.title for one in place.search(user, "duck"))


def synced_at(place: Installation) -> Any:
    with place.db.read() as session:
        return session.scalars(select(Source)).one().access_synced_at


def following(place: Installation) -> list[tuple[str, str]]:
    with place.db.read() as session:
        return [(run.kind, run.trigger) for run in session.scalars(select(Run).where(Run.state == "queued"))]


def test_a_crawl_of_a_folder_opens_its_access_files_alone(
    place: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "files"
    (folder / "room").mkdir(parents=True)
    (folder / "open.md").write_text("A duck swims.")
    (folder / "room/secret.md").write_text("A duck dives.")
    place.add_folder(folder)
    place.sync()
    assert found(place, "bob") == ["open", "secret"]
    before = synced_at(place)
    (folder / "room/.access.yaml").write_text("inherit: false\nallow: [user:ana]\n")
    opened: list[str] = []
    open_file = os.open

    def noting(path: Any, flags: int, *args: Any, **given: Any) -> int:
        opened.extend([str(path)] * (flags == files._FILE))
        return open_file(path, flags, *args, **given)

    monkeypatch.setattr(files.os, "open", noting)
    run = place.crawl()
    monkeypatch.undo()
    assert set(opened) == {".access.yaml"}
    assert (found(place, "bob"), found(place, "ana")) == (["open"], ["open", "secret"])
    assert synced_at(place) == run.started_at > before


class Hr:
    """A table of two notes, each with its readers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run(
            "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT, readers TEXT, changed DATETIME);"
            "INSERT INTO note VALUES (1, 'A duck swims.', 'user:ana,user:bob', '2026-01-01 00:00:00'),"
            " (2, 'A duck dives.', 'user:ana', '2026-01-02 00:00:00')"
        )

    def run(self, script: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executescript(script)

    def config(self, **more: Any) -> dict[str, Any]:
        table = {"name": "note", "key": "id", "title": "{id}", "text": "{body}", "allow": "readers", **more}
        return {"url": f"sqlite:///{self.path}", "tables": [table]}


@pytest.fixture
def hr(tmp_path: Path) -> Hr:
    return Hr(tmp_path / "hr.db")


@pytest.mark.parametrize("cursor", [None, "changed"])
def test_a_right_that_a_row_takes_away_is_gone_after_the_crawl(place: Installation, hr: Hr, cursor: str | None) -> None:
    place.add_source("files", "sql", hr.config(cursor=cursor))
    place.sync()
    assert found(place, "bob") == ["1"]
    encoded, before = place.encoder.encoded, synced_at(place)
    hr.run("UPDATE note SET readers = 'user:ana' WHERE id = 1")
    run = place.crawl()
    assert (run.state, run.listed, following(place)) == ("succeeded", 2, [])
    assert (found(place, "bob"), found(place, "ana")) == ([], ["1", "2"])
    assert place.encoder.encoded == encoded
    assert synced_at(place) == run.started_at > before


def test_a_right_that_a_row_gives_holds_after_the_listing_that_the_crawl_asks_for(place: Installation, hr: Hr) -> None:
    """Only content tells the version of this table, and the crawl reads none."""
    place.add_source("files", "sql", hr.config())
    place.sync()
    hr.run("UPDATE note SET readers = 'user:ana,user:bob' WHERE id = 2")
    place.crawl()
    assert found(place, "bob") == ["1"]
    assert following(place) == [("content", "widening")]
    encoded = place.encoder.encoded
    place.drain()
    assert found(place, "bob") == ["1", "2"]
    assert place.encoder.encoded == encoded
    place.crawl()
    assert following(place) == [], "nothing is left to ask for"
    place.check_consistent()


def test_a_right_that_a_row_gives_is_not_given_to_its_old_text(place: Installation, hr: Hr) -> None:
    place.add_source("files", "sql", hr.config())
    place.sync()
    hr.run("UPDATE note SET readers = 'user:ana,user:bob', body = 'A duck has no secret.' WHERE id = 2")
    place.crawl()
    assert found(place, "bob") == ["1"]
    place.drain()
    assert found(place, "bob") == ["1", "2"]
    assert place.documents()["note/2"] == "A duck has no secret."


def test_with_a_cursor_a_right_holds_after_the_crawl_itself(place: Installation, hr: Hr) -> None:
    place.add_source("files", "sql", hr.config(cursor="changed"))
    place.sync()
    hr.run("UPDATE note SET readers = 'user:ana,user:bob' WHERE id = 2")
    place.crawl()
    assert (found(place, "bob"), following(place)) == (["1", "2"], [])


def test_only_a_crawl_or_a_whole_listing_makes_the_access_of_rows_fresh(place: Installation, hr: Hr) -> None:
    place.add_source("files", "sql", hr.config(cursor="changed"))
    place.sync()
    before = synced_at(place)
    assert place.sync().state == "succeeded"
    assert synced_at(place) == before, "a list of changes does not show a row whose access alone changed"
    place.sync(kind="deletions")
    assert synced_at(place) > before


def test_a_row_that_went_is_found_by_the_whole_listing(place: Installation, hr: Hr) -> None:
    place.add_source("files", "sql", hr.config(cursor="changed"))
    place.sync()
    hr.run("DELETE FROM note WHERE id = 1")
    place.sync()
    assert found(place, "ana") == ["1", "2"]
    run = place.sync(kind="deletions")
    assert (run.deleted, found(place, "ana")) == (1, ["2"])


class Untold(CrawledSource):
    """Its crawl does not tell versions."""

    def permissions(self, cursor: JsonObject | None) -> Iterator[Change]:
        for one in super().permissions(cursor):
            yield AccessChange(one.id, one.node, None, one.access) if isinstance(one, AccessChange) else one


@pytest.mark.parametrize(("access", "readers"), [(None, {"ana": []}), (ANA, {"ana": ["a"], "bob": []})])
def test_work_in_hand_is_never_given_to_more_people_by_a_crawl_that_tells_no_version(
    place: Installation, access: Any, readers: dict[str, list[str]]
) -> None:
    source = Untold()
    place.runtime.pipeline.connectors.open = lambda _: source  # type: ignore[method-assign]
    place.add_source("files", "folder", {"path": "."})
    source.put("a", "A duck has a secret.", access=access_spec(["user:ana", "user:cy"], mode="break"))
    run = place.start()
    for stage in ("list", "parse"):
        while STAGES[stage](place.runtime.pipeline):
            pass
    source.things["a"].access = access
    place.crawl()
    source.put("a", "A duck has no secret.", access=access)
    while STAGES["encode"](place.runtime.pipeline):
        pass
    assert {user: found(place, user) for user in readers} == readers
    assert place.items(run)["a"].state == ("skipped" if access is None else "done")
    place.drain()
    place.sync()
    with place.db.read() as session:
        assert session.scalars(select(Document.pending_node_id)).all() == [None]
    assert place.documents()["a"] == "A duck has no secret."
    assert found(place, "bob") == (["a"] if access is None else [])
