"""Grants tables, restricted columns and schema documents of the SQL connector."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import InvalidError
from ingest.connectors import registry
from ingest.connectors.conformance import items_of, nodes_of
from ingest.connectors.sql_engine import ReadOnlyDatabase
from ingest.model import Change, Connector, ConnectorContext, ItemError, Problem, SourceError, VanishedError
from policies.model import CLOSED, AccessSpec, access_spec
from tests.contract.test_connectors import MARIADB
from tests.integration.services import need

ROOT_ACCESS = access_spec(["everyone"])
Run = Callable[[str], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(script: str) -> None:
        with closing(sqlite3.connect(tmp_path / "hr.db")) as connection:
            connection.executescript(script)

    run(
        "CREATE TABLE team (id INTEGER PRIMARY KEY);"
        "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, team INTEGER REFERENCES team (id),"
        " salary INTEGER, class TEXT);"
        "INSERT INTO person VALUES (1, 'Ana', 7, 50000, NULL), (2, 'Bob', 7, 60000, 'restricted'),"
        " (3, 'Eve', NULL, 70000, NULL), (4, 'Zoe', 9, 80000, NULL);"
        "CREATE TABLE team_grant (team INTEGER, who TEXT, effect TEXT);"
        "INSERT INTO team_grant VALUES (7, 'staff', 'allow'), (7, 'guests', 'DENY');"
    )
    return run


GRANTS = {"name": "team_grant", "on": {"team": "team"}, "principal": "who", "prefix": "group:", "effect": "effect"}
PERSON: dict[str, Any] = {"name": "person", "key": "id", "title": "{name}", "grants": GRANTS}
PAY = {"name": "pay", "columns": ["salary"]}


def connect(tmp_path: Path, *tables: dict[str, Any], **config: Any) -> Connector:
    return registry.make(
        "sql", {"url": "sqlite:///hr.db", "tables": list(tables), **config}, ConnectorContext(tmp_path, ROOT_ACCESS)
    )


def listing(tmp_path: Path, *tables: dict[str, Any], **config: Any) -> list[Change]:
    return list(connect(tmp_path, *tables, **config).changes(None))


def problems(changes: list[Change]) -> dict[str, str]:
    return {one.id: one.code for one in changes if isinstance(one, Problem)}


def text_of(connector: Connector, item: str) -> str:
    elements = connector.fetch(items_of(list(connector.changes(None)))[item]).elements
    assert elements is not None
    return "\n".join(f"{one.header or ''}\n{one.text}".strip() for one in elements)


def test_only_those_granted_read_a_row(tmp_path: Path, run: Run) -> None:
    items = items_of(listing(tmp_path, PERSON))
    assert items["person/1"].access == access_spec(["group:staff"], ["group:guests"], mode="break")
    nobody = access_spec(mode="break")
    assert (items["person/3"].access, items["person/4"].access) == (nobody, nobody)


def test_grants_may_come_from_a_query_and_need_no_effect(tmp_path: Path, run: Run) -> None:
    query = "SELECT p.id AS person, 'group:' || g.who AS who FROM person p JOIN team_grant g ON g.team = p.team"
    table = {**PERSON, "grants": {"query": query, "on": {"id": "person"}, "principal": "who"}}
    assert items_of(listing(tmp_path, table))["person/2"].access == access_spec(
        ["group:staff", "group:guests"], mode="break"
    )


@pytest.mark.parametrize(
    "grant", ["7, NULL, 'allow'", "7, ' ', 'allow'", "7, 'x', 'maybe'", "7, 'x', NULL", "7, x'00', 'deny'"]
)
def test_a_grant_that_is_not_understood_closes_its_rows(grant: str, tmp_path: Path, run: Run) -> None:
    run(f"INSERT INTO team_grant VALUES ({grant})")
    changes = listing(tmp_path, PERSON)
    assert [items_of(changes)[f"person/{n}"].access == CLOSED for n in (1, 2, 3, 4)] == [True, True, False, False]
    assert problems(changes) == {"person/1": "access_malformed", "person/2": "access_malformed"}


def test_a_grants_table_without_its_columns_fails_the_run(tmp_path: Path, run: Run) -> None:
    with pytest.raises(SourceError, match="no column 'whom'; they have team, who, effect"):
        connect(tmp_path, {**PERSON, "grants": {**GRANTS, "principal": "whom"}}).check()
    with pytest.raises(SourceError, match="'no_grants'"):
        connect(tmp_path, {**PERSON, "grants": {**GRANTS, "name": "no_grants"}}).check()


def test_restricted_columns_are_a_document_that_fewer_read(tmp_path: Path, run: Run) -> None:
    table = {**PERSON, "restricted": [{**PAY, "allow": ["group:hr"]}]}
    changes = listing(tmp_path, table)
    item = items_of(changes)["person/1/pay"]
    row = nodes_of(changes)[item.node]
    assert item.access == access_spec(["group:hr"], mode="narrow")
    assert (row.parent, row.access) == ("person", items_of(changes)["person/1"].access)
    connector = connect(tmp_path, table)
    assert text_of(connector, "person/1/pay") == "salary: 50000"
    assert "50000" not in text_of(connector, "person/1")
    assert item.title == "Ana (pay)"


def test_without_access_of_its_own_a_row_needs_no_node(tmp_path: Path, run: Run) -> None:
    table = {**PERSON, "grants": None, "restricted": [{**PAY, "allow": ["group:hr"]}]}
    changes = listing(tmp_path, table)
    assert set(nodes_of(changes)) == {"", "person"}
    assert items_of(changes)["person/1/pay"].access == access_spec(["group:hr"], mode="narrow")


def test_the_higher_classification_holds(tmp_path: Path, run: Run) -> None:
    table = {**PERSON, "classification": "class", "restricted": [{**PAY, "classification": "confidential"}]}
    items = items_of(listing(tmp_path, table))
    row = items["person/1"].access
    assert row is not None
    assert items["person/1/pay"].access == AccessSpec("break", row.entries, {"classification": "confidential"})
    second = items["person/2/pay"].access
    assert second is not None
    assert second.labels == {"classification": "restricted"}, "the row's is above the columns'"


def test_classifications_of_unknown_order_close(tmp_path: Path, run: Run) -> None:
    table = {**PERSON, "classification": "class", "restricted": [{**PAY, "classification": "geheim"}]}
    changes = listing(tmp_path, table)
    assert items_of(changes)["person/2/pay"].access == CLOSED
    assert items_of(changes)["person/1/pay"].access != CLOSED
    assert problems(changes) == {"person/2/pay": "access_malformed"}


def test_a_restricted_column_changes_only_its_own_document(tmp_path: Path, run: Run) -> None:
    table = {**PERSON, "restricted": [{**PAY, "classification": "restricted"}]}
    before = items_of(listing(tmp_path, table))
    run("UPDATE person SET salary = 1 WHERE id = 1")
    after = items_of(listing(tmp_path, table))
    assert {key for key in before if before[key].version != after[key].version} == {"person/1/pay"}
    with pytest.raises(ItemError, match="changed"):
        connect(tmp_path, table).fetch(before["person/1/pay"])
    with pytest.raises(VanishedError):
        connect(tmp_path, PERSON).fetch(before["person/1/pay"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"restricted": [PAY]}, "neither allow nor classification"),
        ({"restricted": [{**PAY, "allow": ["hr"]}]}, "no principal"),
        ({"restricted": [{**PAY, "allow": ["group:hr"]}], "columns": ["salary"]}, "'salary' is restricted"),
        ({"restricted": [{**PAY, "allow": ["group:hr"]}], "text": "{salary}"}, "'salary' is restricted"),
        ({"restricted": [{"name": "k", "columns": ["id"], "allow": ["group:hr"]}]}, "'id' is restricted"),
        ({"restricted": [{**PAY, "allow": ["group:hr"]}] * 2}, "twice"),
        ({"grants": {**GRANTS, "query": "SELECT 1"}}, "either name or query"),
    ],
)
def test_settings_that_would_show_too_much_are_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=said):
        connect(tmp_path, {**PERSON, **change})


def test_a_schema_document_tells_the_shape_and_no_row(tmp_path: Path, run: Run) -> None:
    table = {
        **PERSON, "exclude": ["class"], "description": "One person who works here.",
        "restricted": [{**PAY, "allow": ["group:hr"]}],
    }  # fmt: skip
    connector = connect(tmp_path, table, schema_documents=True)
    item = items_of(list(connector.changes(None)))["#schema/person"]
    assert (item.node, item.access) == ("person", None)
    text = text_of(connector, "#schema/person")
    assert "One person who works here." in text
    assert "name | TEXT | never empty" in text
    assert "team refers to team (id)" in text
    assert not any(word in text for word in ("salary", "class", "Ana", "50000"))
    run("ALTER TABLE person ADD COLUMN phone TEXT")
    fresh = connect(tmp_path, table, schema_documents=True)
    with pytest.raises(ItemError, match="changed"):
        fresh.fetch(item)


def test_a_query_has_a_schema_document_too(tmp_path: Path, run: Run) -> None:
    table = {"name": "staff", "query": "SELECT id, name FROM person", "key": "id", "title": "{name}"}
    assert "id\nname" in text_of(connect(tmp_path, table, schema_documents=True), "#schema/staff")


@pytest.mark.integration
def test_mariadb_cannot_write_and_gives_up_in_time(tmp_path: Path) -> None:
    database = ReadOnlyDatabase(need(MARIADB) + "/mysql", tmp_path, 0.2)
    try:
        with pytest.raises(SourceError, match="READ ONLY"), database.reading("writing") as connection:
            connection.execute(sa.text("CREATE TABLE ambit_never (id int)"))
        with pytest.raises(SourceError, match="max_statement_time"), database.reading("waiting") as connection:
            connection.execute(
                sa.text("SELECT count(*) FROM seq_1_to_100000 a JOIN seq_1_to_100000 b ON a.seq <> b.seq")
            )
    finally:
        database.close()


@pytest.mark.integration
def test_mariadb_comments_are_in_the_schema_document(tmp_path: Path) -> None:
    server = sa.create_engine(need(MARIADB))
    name = "ambit_comments"
    with server.begin() as connection:
        connection.execute(sa.text(f"CREATE OR REPLACE DATABASE {name}"))
        connection.execute(
            sa.text(f"CREATE TABLE {name}.part (id INT PRIMARY KEY COMMENT 'part number') COMMENT 'Spare parts'")
        )
    try:
        table = {"name": "part", "key": "id", "title": "{id}"}
        connector = connect(tmp_path, table, url=f"{need(MARIADB)}/{name}", schema_documents=True)
        text = text_of(connector, "#schema/part")
        connector.close()
        assert "Spare parts" in text
        assert "part number" in text
    finally:
        with server.begin() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name}"))
        server.dispose()
