"""Tables with a cursor column: later syncs ask for what changed; a crawl of access reads no content."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest.connectors import registry
from ingest.connectors.conformance import accesses_of, items_of, nodes_of
from ingest.connectors.sql import SqlConnector
from ingest.model import Change, Checkpoint, ConnectorContext, JsonObject, Problem
from policies.model import access_spec

Run = Callable[[str], None]
TABLE: dict[str, Any] = {"name": "note", "key": "id", "title": "Note {id}", "text": "{body}", "cursor": "changed"}
RULED: dict[str, Any] = {**TABLE, "allow": "readers"}
HASHED: dict[str, Any] = {"name": "note", "key": "id", "title": "Note {id}", "text": "{body}", "allow": "readers"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(script: str) -> None:
        with closing(sqlite3.connect(tmp_path / "notes.db")) as connection:
            connection.executescript(script)

    run(
        "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT, changed DATETIME, rev INTEGER, readers TEXT);"
        "INSERT INTO note VALUES (1, 'duck', '2026-01-01 00:00:00', 1, 'group:a'),"
        " (2, 'fox', '2026-01-02 00:00:00', 2, 'group:a'), (3, 'crane', '2026-01-03 00:00:00', 3, 'group:a');"
    )
    return run


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What is sent to any database meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield sent
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


def connect(tmp_path: Path, *tables: dict[str, Any], **config: Any) -> SqlConnector:
    body = {"url": "sqlite:///notes.db", "tables": list(tables), **config}
    made = registry.make("sql", body, ConnectorContext(tmp_path, access_spec(["everyone"])))
    assert isinstance(made, SqlConnector)
    return made


def listing(tmp_path: Path, *tables: dict[str, Any], cursor: JsonObject | None = None, **config: Any) -> list[Change]:
    return list(connect(tmp_path, *tables, **config).changes(cursor))


def end(changes: list[Change]) -> Checkpoint:
    assert isinstance(changes[-1], Checkpoint)
    return changes[-1]


def test_a_later_sync_asks_for_what_changed_alone(tmp_path: Path, run: Run) -> None:
    first = listing(tmp_path, TABLE)
    assert (end(first).full, set(items_of(first))) == (True, {"note/1", "note/2", "note/3"})
    run("UPDATE note SET body = 'goose', changed = '2026-01-04 00:00:00' WHERE id = 1; DELETE FROM note WHERE id = 2")
    second = listing(tmp_path, TABLE, cursor=end(first).cursor)
    assert (end(second).full, set(items_of(second))) == (False, {"note/1", "note/3"})
    assert items_of(second)["note/3"].version == items_of(first)["note/3"].version
    third = listing(tmp_path, TABLE, cursor=end(second).cursor)
    assert set(items_of(third)) == {"note/1"}


def test_what_was_committed_late_is_asked_for_again(tmp_path: Path, run: Run) -> None:
    mark = end(listing(tmp_path, TABLE)).cursor
    run("INSERT INTO note VALUES (4, 'late', '2026-01-02 23:59:30', 4, NULL)")
    assert "note/4" in items_of(listing(tmp_path, TABLE, cursor=mark))
    assert "note/4" not in items_of(listing(tmp_path, TABLE, cursor=mark, overlap_s=5))


def test_a_number_is_a_cursor_too(tmp_path: Path, run: Run) -> None:
    table = {**TABLE, "cursor": "rev"}
    mark = end(listing(tmp_path, table)).cursor
    run("UPDATE note SET rev = 7 WHERE id = 1")
    assert set(items_of(listing(tmp_path, table, cursor=mark))) == {"note/1", "note/3"}


def test_a_row_without_a_value_is_never_passed_over(tmp_path: Path, run: Run) -> None:
    run("UPDATE note SET changed = NULL WHERE id = 1")
    mark = end(listing(tmp_path, TABLE)).cursor
    item = items_of(listing(tmp_path, TABLE, cursor=mark))["note/1"]
    assert item.version is None


def test_everything_is_listed_again_after_a_while(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = end(listing(tmp_path, TABLE, full_every_h=2)).cursor
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert not end(listing(tmp_path, TABLE, full_every_h=2, cursor=mark)).full
    monkeypatch.setattr(time, "time", lambda: now + 3 * 3600)
    assert end(listing(tmp_path, TABLE, full_every_h=2, cursor=mark)).full


def test_a_list_of_changes_does_not_vouch_for_access_that_rows_state(tmp_path: Path, run: Run) -> None:
    for table, complete in ((TABLE, True), (RULED, False)):
        mark = end(listing(tmp_path, table)).cursor
        assert end(listing(tmp_path, table, cursor=mark)).access_complete == complete


def test_an_empty_table_begins_with_everything(tmp_path: Path, run: Run) -> None:
    run("DELETE FROM note")
    mark = end(listing(tmp_path, TABLE)).cursor
    run("INSERT INTO note VALUES (4, 'old', '2020-01-01 00:00:00', 4, NULL)")
    assert set(items_of(listing(tmp_path, TABLE, cursor=mark))) == {"note/4"}


def test_a_list_of_changes_that_was_cut_off_goes_on(tmp_path: Path, run: Run) -> None:
    mark = end(listing(tmp_path, TABLE)).cursor
    run("UPDATE note SET changed = '2026-02-01 00:00:00'")
    changes = listing(tmp_path, TABLE, cursor=mark, batch=1)
    rest = next(one for one in changes if isinstance(one, Checkpoint))
    after = listing(tmp_path, TABLE, cursor=rest.cursor, batch=1)
    assert set(items_of(after)) == {"note/2", "note/3"}
    assert end(after) == end(changes)
    assert not end(after).full


@pytest.mark.parametrize(("table", "told"), [(HASHED, False), (RULED, True)])
def test_a_crawl_of_access_reads_no_content(
    table: dict[str, Any], told: bool, tmp_path: Path, run: Run, statements: list[str]
) -> None:
    before = items_of(listing(tmp_path, table))
    assert any("body" in one for one in statements) != told
    statements.clear()
    run("UPDATE note SET readers = 'group:b' WHERE id = 2")
    changes = list(connect(tmp_path, table, batch=1).permissions(None))
    assert [one for one in statements if "body" in one] == []
    crawled = accesses_of(changes)
    assert crawled["note/2"].access == access_spec(["group:b"], mode="break")
    assert {key: one.version for key, one in crawled.items()} == {
        key: one.version if told else None for key, one in before.items()
    }
    assert (end(changes).complete, end(changes).access_complete) == (True, True)


def test_a_crawl_of_access_is_whole_whatever_the_last_one_saw(tmp_path: Path, run: Run) -> None:
    connector = connect(tmp_path, RULED)
    mark = end(list(connector.permissions(None))).cursor
    assert set(accesses_of(list(connector.permissions(mark)))) == {"note/1", "note/2", "note/3"}


def test_a_crawl_of_access_that_was_cut_off_goes_on(tmp_path: Path, run: Run) -> None:
    changes = list(connect(tmp_path, RULED, batch=1).permissions(None))
    rest = next(one for one in changes if isinstance(one, Checkpoint))
    assert set(accesses_of(list(connect(tmp_path, RULED, batch=1).permissions(rest.cursor)))) == {"note/2", "note/3"}


def test_a_crawl_of_access_tells_of_restricted_columns_and_of_cells_it_cannot_read(tmp_path: Path, run: Run) -> None:
    run("UPDATE note SET readers = 'somebody' WHERE id = 3")
    apart = {"name": "body", "columns": ["body"], "allow": ["group:b"]}
    table = {**HASHED, "text": None, "restricted": [apart]}
    changes = list(connect(tmp_path, table).permissions(None))
    listed = listing(tmp_path, table)
    assert nodes_of(changes) == nodes_of(listed)
    assert {key: one.access for key, one in accesses_of(changes).items()} == {
        key: one.access for key, one in items_of(listed).items()
    }
    assert [one.id for one in changes if isinstance(one, Problem)] == ["note/3"]
