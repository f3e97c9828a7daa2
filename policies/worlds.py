"""Worlds in memory: what decides of one tenant, copied out of a snapshot into a database that nobody else sees.

Decisions run on a copy as they run on the truth. Whatever is done to it is gone with it, so nothing is locked and
nothing is written anywhere else. Its clock stands still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, create_engine, event, insert, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from core.clock import to_us
from core.db import json_text
from core.tables import Base, Document, Tenant

_CONTENT = frozenset(
    {
        "api_key", "approval", "audit_entry", "break_glass", "chunk", "document", "document_version", "epoch_time",
        "erased_object", "erasure", "external_identity", "facet", "idempotency_key", "item", "policy_count", "run",
        "secret", "state_history", "upload",
    }
)  # fmt: skip
"""Tables of a tenant that decide nothing, and documents, of which only those asked about are taken."""
_BATCH = 5000
_DAY_US = 86_400_000_000
_JULIAN_1970 = 2440587.5
Row = dict[str, Any]


@contextmanager
def empty_world(at: datetime) -> Iterator[Session]:
    """A session on an empty database in memory whose clock stands at `at`."""
    engine = _engine(at, _schema())
    try:
        with Session(engine, expire_on_commit=False) as session:
            yield session
            session.rollback()
    finally:
        engine.dispose()


@cache
def _schema() -> bytes:
    """An empty database with our tables, as the bytes of its file: making the tables anew would take much longer."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        made = bytes(driver.serialize())
    engine.dispose()
    return made


def _engine(at: datetime, schema: bytes) -> Engine:
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}, json_serializer=json_text
    )
    days = to_us(at) / _DAY_US + _JULIAN_1970

    def prepare(connection: Any, _: ConnectionPoolEntry) -> None:
        """`core.clock.db_now` asks SQLite's `julianday`, so this is the clock of every decision here."""
        connection.isolation_level = None
        connection.deserialize(schema)
        connection.create_function("julianday", -1, lambda *_: days)

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


@contextmanager
def copied(session: Session, tenant: int, documents: Iterable[int], *, at: datetime) -> Iterator[Session]:
    """The tenant as this snapshot has it, with these documents, its clock at `at`."""
    with empty_world(at) as world:
        for table in deciding_tables():
            fill(world, table, rows_of(session, table, tenant))
        wanted = sorted(set(documents))
        for start in range(0, len(wanted), _BATCH):
            where = Document.id.in_(wanted[start : start + _BATCH])
            fill(world, table_of(Document), rows_of(session, table_of(Document), tenant, where))
        yield world


def deciding_tables() -> list[Table]:
    """Every table of a tenant that may go into a decision; one added to the schema is among them by itself."""
    return [
        table
        for table in Base.metadata.sorted_tables
        if table.name not in _CONTENT and (table.name == Tenant.__tablename__ or "tenant_id" in table.c)
    ]


def rows_of(session: Session, table: Table, tenant: int, *where: ColumnElement[bool]) -> list[Row]:
    """The tenant's rows as they stand; of those with a span of epochs the open ones."""
    mine = table.c.id if table.name == Tenant.__tablename__ else table.c.tenant_id
    limits = [mine == tenant, *where]
    if "epoch_to" in table.c:
        limits.append(table.c.epoch_to.is_(None))
    return [dict(row) for row in session.execute(select(*table.c).where(*limits)).mappings()]


def fill(world: Session, table: Table, rows: Sequence[Row]) -> None:
    """Writes rows as they are, ids kept."""
    if rows:
        world.execute(insert(table), rows)


def table_of(entity: type[Base]) -> Table:
    """The table behind a class."""
    table = entity.__table__
    assert isinstance(table, Table)
    return table
