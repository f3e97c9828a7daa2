"""A name is found wherever the schema can hold one, and struck there unless the column is listed as left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Column, Engine, LargeBinary, Table, create_engine, insert, select
from sqlalchemy.orm import Session

from core.audit import Audit
from core.clock import utc_now
from core.names import Names, form
from core.secrets import Keyring
from core.tables import Base, DocumentVersion, IdempotencyKey
from core.traces import ANYTHING, CONTENT, WRITTEN, find, searched, strike, struck_tables, tables

ANA = Names(
    "erased-1",
    (form("ana", "erased-1", before="user:"), form("ana.lima@example.com", "erased-1-1@erased.invalid")),
    frozenset({"ana"}),
)
TEXT = "for Ana.Lima@Example.com, user:ana"
COLUMNS = [(table, column) for table in tables() for column in searched(table)]
NAMED = [f"{table.name}.{column.name}" for table, column in COLUMNS]
JSONS = [(table, column) for table, column in COLUMNS if isinstance(column.type, JSON)]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The tables as they are declared, without what one row needs of another."""
    made = create_engine("sqlite://")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as made:
        yield made


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder: Path = tmp_path_factory.mktemp("keys") / "keys"
    return Audit(Keyring(folder))


def _value(column: Column[Any]) -> Any:
    """Something that fits a column and names nobody."""
    if column.name in ("tenant_id", "id"):
        return 1
    if isinstance(column.type, JSON):
        return {}
    if isinstance(column.type, LargeBinary):
        return b""
    told = {str: "x", int: 1, bool: False, float: 0.0}
    return told.get(column.type.python_type, utc_now())


def _plant(session: Session, table: Table, column: Column[Any], value: Any) -> None:
    row = {one.name: value if one is column else _value(one) for one in table.c}
    session.execute(insert(table).values(row))
    if table.name == "version_chunk":
        parent = Base.metadata.tables[DocumentVersion.__tablename__]
        session.execute(insert(parent).values({one.name: _value(one) for one in parent.c}))


def _struck(session: Session, audit: Audit) -> None:
    for table in struck_tables():
        after: int | None = 0
        while after is not None:
            _, after = strike(session, 1, audit, ANA, table=table, after=after)


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=NAMED)
def test_what_is_planted_is_found_and_struck(session: Session, audit: Audit, table: Table, column: Column[Any]) -> None:
    name = f"{table.name}.{column.name}"
    _plant(session, table, column, {"a": [{"b": TEXT}]} if isinstance(column.type, JSON) else TEXT)
    assert find(session, 1, ANA).columns == {name: 1}
    assert find(session, 2, ANA).columns == {}
    _struck(session, audit)
    assert find(session, 1, ANA).columns == ({name: 1} if name in CONTENT | WRITTEN else {})
    if name not in CONTENT | WRITTEN:
        left = str(session.execute(select(column)).scalar_one()).lower()
        assert "ana" not in left


@pytest.mark.parametrize(("table", "column"), JSONS, ids=[f"{table.name}.{column.name}" for table, column in JSONS])
def test_an_id_that_stands_alone_is_struck_or_told(
    session: Session, audit: Audit, table: Table, column: Column[Any]
) -> None:
    name = f"{table.name}.{column.name}"
    _plant(session, table, column, {"people": ["ana", "bob"]})
    _struck(session, audit)
    found = find(session, 1, ANA)
    assert found.maybe == ({name: 1} if name in ANYTHING else {})
    assert found.columns == ({name: 1} if name in (CONTENT | WRITTEN) - ANYTHING else {})


def test_two_keys_of_writes_that_name_it_stay_two(session: Session, audit: Audit) -> None:
    told = {"tenant_id": 1, "app_id": 1, "request_hash": "", "status": 200, "response": {}}
    session.add_all([IdempotencyKey(key=one, created_at=utc_now(), **told) for one in ("user:ana", "USER:ANA")])
    session.flush()
    _struck(session, audit)
    assert len(set(session.scalars(select(IdempotencyKey.key)))) == 2


def test_every_column_where_an_id_is_left_exists() -> None:
    assert set(NAMED) >= ANYTHING
