from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidError
from ingest.connectors import registry
from ingest.connectors.conformance import items_of, nodes_of
from ingest.connectors.sql_config import TableConfig
from ingest.connectors.sql_engine import ReadOnlyDatabase
from ingest.connectors.sql_values import decode_key, encode_key, id_part, parse_cell, row_access
from ingest.model import (
    Change,
    Checkpoint,
    Connector,
    ConnectorContext,
    EmptyError,
    ItemError,
    Problem,
    SourceError,
    VanishedError,
)
from policies.model import CLOSED, EVERYONE, AccessSpec, access_spec
from tests.factories import ledger_dialect

ROOT_ACCESS = access_spec(["everyone"])
POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432/test"
Run = Callable[[str], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(script: str) -> None:
        with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
            connection.executescript(script)

    run(
        "CREATE TABLE product"
        " (id INTEGER PRIMARY KEY, name TEXT, price NUMERIC, readers TEXT, blocked TEXT, class TEXT);"
        "INSERT INTO product VALUES (1, 'Lamp', 12.5, 'group:sales, user:ana', NULL, 'internal');"
        "INSERT INTO product VALUES (2, 'Desk', 99, '[\"everyone\"]', 'user:bob', NULL);"
        "INSERT INTO product VALUES (3, 'Chair', NULL, NULL, NULL, NULL);"
    )
    return run


PLAIN = {"name": "product", "key": "id", "title": "{name}"}
RULED = {**PLAIN, "allow": "readers", "deny": "blocked", "classification": "class"}


def connect(tmp_path: Path, *tables: dict[str, Any], max_bytes: int = 10_000, **config: Any) -> Connector:
    context = ConnectorContext(tmp_path, ROOT_ACCESS, max_bytes=max_bytes)
    body = {"url": "sqlite:///shop.db", "tables": list(tables), **config}
    return registry.make("sql", body, context)


def listing(tmp_path: Path, *tables: dict[str, Any], **config: Any) -> list[Change]:
    return list(connect(tmp_path, *tables, **config).changes(None))


def problems(changes: list[Change]) -> dict[str, str]:
    return {one.id: one.code for one in changes if isinstance(one, Problem)}


def fetched(tmp_path: Path, item: str, table: dict[str, Any]) -> str:
    connector = connect(tmp_path, table)
    content = connector.fetch(items_of(list(connector.changes(None)))[item])
    assert content.elements is not None
    return content.elements[0].text


def test_tables_are_nodes_and_rows_are_items(tmp_path: Path, run: Run) -> None:
    changes = listing(tmp_path, PLAIN)
    assert [(one.key, one.parent, one.access.mode) for one in nodes_of(changes).values()] == [
        ("", None, "break"),
        ("product", "", "inherit"),
    ]
    item = items_of(changes)["product/1"]
    assert (item.node, item.title, item.access) == ("product", "Lamp", None)
    assert item.data == {"table": "product", "key": [1]}


def test_access_comes_from_the_row(tmp_path: Path, run: Run) -> None:
    items = items_of(listing(tmp_path, RULED))
    sales = access_spec(["group:sales", "user:ana"], mode="break", labels={"classification": "internal"})
    assert items["product/1"].access == sales
    assert items["product/2"].access == access_spec(["everyone"], ["user:bob"], mode="break")
    assert items["product/3"].access == access_spec(mode="break"), "nobody is named, so nobody reads it"


def test_without_an_allow_column_the_table_governs(tmp_path: Path, run: Run) -> None:
    items = items_of(listing(tmp_path, {**PLAIN, "deny": "blocked"}))
    assert items["product/1"].access is None
    assert items["product/2"].access == access_spec(deny=["user:bob"])


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("readers", "everyone; user:bob"),
        ("readers", "group:a,,user:b"),
        ("readers", '["user:a", 7]'),
        ("readers", '["user:a"'),
        ("readers", '{"everyone": true}'),
        ("readers", "*"),
        ("blocked", "bob"),
        ("class", "  "),
    ],
)
def test_a_malformed_cell_closes_the_row_and_is_not_quoted(column: str, cell: str, tmp_path: Path, run: Run) -> None:
    run(f"UPDATE product SET readers = 'everyone'; UPDATE product SET {column} = '{cell}' WHERE id = 2")
    changes = listing(tmp_path, RULED)
    items = items_of(changes)
    assert (items["product/2"].access, items["product/1"].access) != (items["product/1"].access, CLOSED)
    assert items["product/2"].access == CLOSED
    assert problems(changes) == {"product/2": "access_malformed"}
    said = next(one.detail for one in changes if isinstance(one, Problem))
    assert column in said
    assert not cell.strip() or cell not in said
    assert isinstance(changes[-1], Checkpoint)
    assert changes[-1].access_complete


CELLS = st.one_of(
    st.none(),
    st.text(max_size=40),
    st.integers(),
    st.binary(max_size=8),
    st.recursive(
        st.one_of(st.text(max_size=8), st.just("everyone"), st.none(), st.integers()), lambda x: st.lists(x, max_size=4)
    ),
    st.lists(st.sampled_from(["everyone", "user:a", "group:b", "everyon", " everyone", ""]), max_size=4).map(
        json.dumps
    ),
    st.lists(st.sampled_from(["everyone", "user:a", "*", "", "everyone:"]), max_size=4).map(",".join),
)


@given(CELLS)
def test_a_cell_never_opens_a_row_to_anybody_it_does_not_name(cell: Any) -> None:
    table = TableConfig(name="t", key="id", title="{id}", allow="readers")
    try:
        spec = row_access(table, {"id": 1, "readers": cell})
    except InvalidError:
        return
    assert spec is not None
    assert spec.mode == "break"
    named = cell if isinstance(cell, list) else _names(cell)
    assert {one.principal for one in spec.entries} <= {one.strip() for one in named}
    assert (EVERYONE in {one.principal for one in spec.entries}) == (EVERYONE in [one.strip() for one in named])


def _names(cell: str | None) -> list[str]:
    """The oracle: what a person would say the text lists."""
    text = (cell or "").strip()
    return json.loads(text) if text.startswith("[") else text.split(",")


@given(CELLS)
def test_a_deny_cell_is_obeyed_or_closes(cell: Any) -> None:
    table = TableConfig(name="t", key="id", title="{id}", deny="blocked")
    try:
        spec = row_access(table, {"id": 1, "blocked": cell}) or AccessSpec()
    except InvalidError:
        return
    assert cell is None or isinstance(cell, (str, list)), "an odd type must close the row, not drop the denial"
    assert {one.principal for one in spec.entries} == set(parse_cell(cell))
    assert all(one.effect == "deny" for one in spec.entries)


def test_text_is_a_line_a_column_without_those_of_access(tmp_path: Path, run: Run) -> None:
    assert fetched(tmp_path, "product/1", RULED) == "id: 1\nname: Lamp\nprice: 12.5"


def test_columns_and_exclude_choose_what_is_shown(tmp_path: Path, run: Run) -> None:
    assert fetched(tmp_path, "product/1", {**PLAIN, "columns": ["name", "class"]}) == "name: Lamp\nclass: internal"
    hidden = ["readers", "blocked", "price"]
    assert fetched(tmp_path, "product/1", {**PLAIN, "exclude": hidden}) == "id: 1\nname: Lamp\nclass: internal"


def test_a_value_is_never_read_as_a_template(tmp_path: Path, run: Run) -> None:
    run("UPDATE product SET name = '{readers} {0.__class__}' WHERE id = 1")
    text = fetched(tmp_path, "product/1", {**PLAIN, "text": "Name: {name}!"})
    assert text == "Name: {readers} {0.__class__}!"


@pytest.mark.parametrize("template", ["{a.b}", "{a!r}", "{a:>9}", "{}", "{0[1]}", "{a", "a}", "{{a}}", ""])
def test_templates_hold_plain_column_names_only(template: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"config\.tables\.0\.title"):
        connect(tmp_path, {**PLAIN, "title": template})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": ["name"], "exclude": ["name"]}, "'name' is both shown and excluded"),
        ({"key": []}, "key needs"),
        ({"key": ["id", "id"]}, "key needs"),
        ({"name": "a/b"}, r"tables\.0\.name"),
        ({"colour": 1}, "colour"),
    ],
)
def test_tables_that_make_no_sense_are_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=said):
        connect(tmp_path, {**PLAIN, **change})


def test_two_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="'product' twice"):
        connect(tmp_path, PLAIN, PLAIN)


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///file:shop.db?uri=true", "mysql://root:pw@host/db", "not a url", ""],
)
def test_urls_of_other_kinds_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        connect(tmp_path, PLAIN, url=url)
    assert "pw" not in str(caught.value)


def test_a_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="'SHOP'"):
        connect(tmp_path, PLAIN, url={"secret": "SHOP"})


def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    connector = connect(tmp_path, PLAIN)
    with pytest.raises(SourceError, match="unable to open"):
        connector.check()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_text("x" * 5000)
    with pytest.raises(SourceError, match=r"shop\.db"):
        listing(tmp_path, PLAIN)


def test_an_unknown_table_or_column_is_named(tmp_path: Path, run: Run) -> None:
    with pytest.raises(SourceError, match="'products'"):
        connect(tmp_path, {**PLAIN, "name": "products"}).check()
    for wrong in ({"title": "{nam}"}, {"key": "nam"}, {"allow": "nam"}, {"version": "nam"}, {"exclude": ["nam"]}):
        with pytest.raises(SourceError, match="no column 'nam'; it has id, name"):
            connect(tmp_path, {**PLAIN, **wrong}).check()


def test_names_are_quoted(tmp_path: Path, run: Run) -> None:
    run('CREATE TABLE "a""; DROP TABLE product; --" ("select" INTEGER PRIMARY KEY, "x""y" TEXT);')
    run('INSERT INTO "a""; DROP TABLE product; --" VALUES (1, \'v\')')
    table = {"name": 'a"; DROP TABLE product; --', "key": "select", "title": "{select}"}
    changes = listing(tmp_path, table, PLAIN)
    assert len(items_of(changes)) == 4


def test_the_connection_cannot_write(tmp_path: Path, run: Run) -> None:
    database = ReadOnlyDatabase("sqlite:///shop.db", tmp_path, 5)
    with pytest.raises(SourceError), database.reading("writing") as connection:
        connection.execute(sa.text("DELETE FROM product"))
    assert len(items_of(listing(tmp_path, PLAIN))) == 3


def test_a_statement_that_takes_too_long_is_given_up(tmp_path: Path, run: Run) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS id FROM n"
    with pytest.raises(SourceError, match="interrupted"):
        listing(tmp_path, {"name": "q", "query": endless, "key": "id", "title": "{id}"}, timeout_s=0.2)


def test_a_query_is_listed_like_a_table(tmp_path: Path, run: Run) -> None:
    query = "SELECT id, name || ' at 10:30' AS label, '50%' AS share FROM product WHERE id <> 2;"
    table = {"name": "cheap", "query": query, "key": "id", "title": "{label}"}
    items = items_of(listing(tmp_path, table, batch=1))
    assert {key: one.title for key, one in items.items()} == {
        "cheap/1": "Lamp at 10:30",
        "cheap/3": "Chair at 10:30",
    }
    assert fetched(tmp_path, "cheap/1", table) == "id: 1\nlabel: Lamp at 10:30\nshare: 50%"


@pytest.mark.parametrize("query", ["DELETE FROM product", "SELECT 1 AS id; DROP TABLE product", "SELECT nothing"])
def test_a_query_that_is_no_select_is_refused(query: str, tmp_path: Path, run: Run) -> None:
    with pytest.raises(SourceError):
        connect(tmp_path, {"name": "q", "query": query, "key": "id", "title": "{id}"}).check()
    assert len(items_of(listing(tmp_path, PLAIN))) == 3


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_rows_that_share_a_key_are_left_out(batch: int, tmp_path: Path, run: Run) -> None:
    run("CREATE TABLE loose (code TEXT, body TEXT)")
    run("INSERT INTO loose VALUES ('a', '1'), ('b', '2'), ('b', '3'), ('b', '4'), ('c', '5'), (NULL, '6')")
    changes = listing(tmp_path, {"name": "loose", "key": "code", "title": "{code}"}, batch=batch)
    assert set(items_of(changes)) == {"loose/a", "loose/c"}
    assert problems(changes) == {"loose/b": "key_not_unique", "loose/#null": "key_missing"}


def test_a_key_that_stopped_being_unique_is_not_fetched(tmp_path: Path, run: Run) -> None:
    run("CREATE TABLE loose (code TEXT, body TEXT); INSERT INTO loose VALUES ('a', '1')")
    connector = connect(tmp_path, {"name": "loose", "key": "code", "title": "{code}"})
    item = items_of(list(connector.changes(None)))["loose/a"]
    run("INSERT INTO loose VALUES ('a', 'secret')")
    with pytest.raises(ItemError, match="more than one row"):
        connector.fetch(item)


def test_keys_are_escaped_so_that_ids_stay_apart(tmp_path: Path, run: Run) -> None:
    run("CREATE TABLE pair (a TEXT, b TEXT, PRIMARY KEY (a, b))")
    run("INSERT INTO pair VALUES ('x/y', 'z'), ('x', 'y/z'), ('%2F', char(10)), ('" + "k" * 2001 + "', '')")
    changes = listing(tmp_path, {"name": "pair", "key": ["a", "b"], "title": "{a}"})
    assert set(items_of(changes)) == {"pair/x%2Fy/z", "pair/x/y%2Fz", "pair/%252F/%0A"}
    assert set(problems(changes).values()) == {"key_too_long"}


@pytest.mark.parametrize(
    "key",
    [
        1,
        "a",
        1.1,
        True,
        b"\x00\xff",
        Decimal("1.50"),
        date(2026, 1, 2),
        datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        UUID(int=7),
    ],
)
def test_keys_survive_as_json(key: Any) -> None:
    assert decode_key(json.loads(json.dumps(encode_key([key])))) == [key]
    assert id_part(key).isprintable()


def test_a_row_that_is_gone_or_changed_is_not_fetched(tmp_path: Path, run: Run) -> None:
    connector = connect(tmp_path, PLAIN)
    items = items_of(list(connector.changes(None)))
    run("DELETE FROM product WHERE id = 1; UPDATE product SET name = 'Secret' WHERE id = 2")
    with pytest.raises(VanishedError):
        connector.fetch(items["product/1"])
    with pytest.raises(ItemError) as caught:
        connector.fetch(items["product/2"])
    assert (caught.value.item_code, caught.value.item_transient) == ("item_changed", True)
    with pytest.raises(VanishedError):
        connect(tmp_path, {**PLAIN, "name": "other", "query": "SELECT 1 AS id, 2 AS name"}).fetch(items["product/3"])


def test_a_row_that_says_nothing_or_too_much_is_not_taken(tmp_path: Path, run: Run) -> None:
    connector = connect(tmp_path, {**PLAIN, "text": "{name}"}, max_bytes=10)
    run("UPDATE product SET name = ' ' WHERE id = 1; UPDATE product SET name = 'xxxxxxxxxxx' WHERE id = 2")
    items = items_of(list(connector.changes(None)))
    assert items["product/1"].title == "product/1"
    with pytest.raises(EmptyError):
        connector.fetch(items["product/1"])
    with pytest.raises(ItemError, match="limit of 10 bytes"):
        connector.fetch(items["product/2"])


def test_a_database_that_goes_away_is_a_passing_failure_of_the_row(tmp_path: Path, run: Run) -> None:
    connector = connect(tmp_path, PLAIN)
    item = items_of(list(connector.changes(None)))["product/1"]
    (tmp_path / "shop.db").unlink()
    with pytest.raises(ItemError) as caught:
        connector.fetch(item)
    assert (caught.value.item_code, caught.value.item_transient) == ("row_unreadable", True)


def test_bytes_that_are_no_text_are_neither_quoted_nor_fatal(tmp_path: Path, run: Run) -> None:
    run("UPDATE product SET name = CAST(x'73656372657420ff' AS TEXT) WHERE id = 1")
    assert items_of(listing(tmp_path, PLAIN))["product/1"].title == "secret \ufffd"


def test_versions_follow_content_configuration_and_nothing_else(tmp_path: Path, run: Run) -> None:
    before = items_of(listing(tmp_path, RULED))
    run("UPDATE product SET readers = 'user:x', blocked = 'user:y', class = 'public' WHERE id = 1")
    assert items_of(listing(tmp_path, RULED))["product/1"].version == before["product/1"].version
    other = items_of(listing(tmp_path, {**RULED, "exclude": ["price"]}))
    assert other["product/1"].version != before["product/1"].version
    run("UPDATE product SET price = 13 WHERE id = 1")
    assert items_of(listing(tmp_path, RULED))["product/1"].version != before["product/1"].version


def test_an_unset_version_is_unknown(tmp_path: Path, run: Run) -> None:
    items = items_of(listing(tmp_path, {**PLAIN, "version": "price"}))
    assert items["product/3"].version is None
    assert items["product/1"].version is not None


def test_no_transaction_stays_open_between_pages(tmp_path: Path, run: Run) -> None:
    changes = connect(tmp_path, PLAIN, batch=1).changes(None)
    while not isinstance(next(changes), Checkpoint):
        pass
    run("UPDATE product SET name = 'Stool' WHERE id = 3")
    assert items_of(list(changes))["product/3"].title == "Stool"


def test_the_cursor_of_another_configuration_starts_over(tmp_path: Path, run: Run) -> None:
    mark = next(one for one in listing(tmp_path, PLAIN, batch=2) if isinstance(one, Checkpoint))
    assert set(items_of(list(connect(tmp_path, PLAIN).changes(mark.cursor)))) == {"product/3"}
    assert len(items_of(list(connect(tmp_path, RULED).changes(mark.cursor)))) == 3


@pytest.fixture
def ledger(tmp_path: Path, run: Run) -> str:
    ledger_dialect.register()
    return f"ledger:///{tmp_path / 'shop.db'}"


def test_another_database_needs_an_account_that_only_reads(ledger: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="only_reads: true"):
        connect(tmp_path, RULED, url=ledger)
    with pytest.raises(InvalidError, match="'nothere'"):
        connect(tmp_path, RULED, url="nothere://user:pw@host/db", only_reads=True)


def test_another_database_is_read_like_those_that_are_known(ledger: str, tmp_path: Path) -> None:
    both = [RULED, {**PLAIN, "name": "q", "query": "SELECT id, name FROM product WHERE id < 3"}]
    found = [connect(tmp_path, *both, url=url, only_reads=True) for url in (ledger, "sqlite:///shop.db")]
    there, here = (list(one.changes(None)) for one in found)
    assert items_of(there) == items_of(here)
    assert len(items_of(there)) == 5
    item = items_of(there)["product/1"]
    assert found[0].fetch(item).elements == found[1].fetch(item).elements
    found[0].close()


def test_another_database_keeps_nothing_that_is_written_and_gives_up_in_time(ledger: str, tmp_path: Path) -> None:
    database = ReadOnlyDatabase(ledger, tmp_path, 0.3, only_reads=True)
    try:
        with database.reading("writing") as connection:
            connection.execute(sa.text("DELETE FROM product"))
        with database.reading("looking") as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM product")).scalar_one() == 3
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
        with pytest.raises(SourceError, match="interrupted"), database.reading("counting") as connection:
            connection.execute(sa.text(endless))
    finally:
        database.close()


@pytest.mark.integration
def test_postgresql_cannot_write_and_gives_up_in_time(tmp_path: Path) -> None:
    database = ReadOnlyDatabase(POSTGRESQL, tmp_path, 0.2)
    try:
        with pytest.raises(SourceError, match="InternalError"), database.reading("writing") as connection:
            connection.execute(sa.text("CREATE TABLE never (id int)"))
        with database.reading("looking") as connection:
            assert connection.execute(sa.text("SHOW transaction_read_only")).scalar_one() == "on"
        with pytest.raises(SourceError, match="statement timeout"), database.reading("waiting") as connection:
            connection.execute(sa.text("SELECT pg_sleep(20)"))
    finally:
        database.close()


@pytest.mark.integration
def test_postgresql_errors_quote_no_data_and_no_password(tmp_path: Path) -> None:
    database = ReadOnlyDatabase(POSTGRESQL, tmp_path, 5)
    try:
        with pytest.raises(SourceError) as caught, database.reading("casting") as connection:
            connection.execute(sa.text("SELECT CAST('canary' AS int)"))
        assert "canary" not in str(caught.value)
    finally:
        database.close()
    refused = ReadOnlyDatabase("postgresql+psycopg://postgres:hunter2@127.0.0.1:1/test", tmp_path, 5)
    with pytest.raises(SourceError) as unreachable, refused.reading("connecting"):
        pass
    assert "hunter2" not in str(unreachable.value)


@pytest.mark.integration
def test_postgresql_arrays_json_and_casts(tmp_path: Path) -> None:
    query = (
        "SELECT 1::bigint AS id, ARRAY['user:a', 'group:b'] AS readers, '[\"user:c\"]'::jsonb AS blocked, "
        "'{\"b\": 1, \"a\": 2}'::jsonb AS body, TIMESTAMPTZ '2026-01-02 03:04:05+00' AS changed"
    )
    table = {
        "name": "q", "query": query, "key": "id", "title": "{id}",
        "allow": "readers", "deny": "blocked", "version": "changed",
    }  # fmt: skip
    connector = connect(tmp_path, table, url=POSTGRESQL)
    try:
        item = items_of(list(connector.changes(None)))["q/1"]
        assert item.access == access_spec(["user:a", "group:b"], ["user:c"], mode="break")
        assert item.modified_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        content = connector.fetch(item)
        assert content.elements is not None
        assert content.elements[0].text == 'id: 1\nbody: {"a": 2, "b": 1}'
    finally:
        connector.close()
