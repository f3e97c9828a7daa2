"""Sessions: one short transaction each, a snapshot to read, an immediate lock to write."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from core.clock import db_now
from core.errors import UnavailableError
from core.lean import BEGUN
from core.prepared import Prepared
from core.snapshot import Snapshot
from core.tenancy import guard
from core.writing import Writing

_TRUSTED_S = 0.5
"""Seconds after its last use within which a connection is taken to be alive."""

_WRITE_S = 60
"""Seconds that a writer waits for the others of SQLite."""

_COMPACT_S = 5
"""The same for one that rewrites the file, since all others wait for it meanwhile; it is tried again."""


class Database:
    """The SQL truth. Opening it connects nothing; the first session does.

    `read()` is one consistent snapshot; `write()` commits when its block ends and rolls back when it raises. Either is
    opened for a tenant, by its id, and then reaches no other's rows (`core.tenancy`); without one it is for work over
    all tenants: claims, sweeps, the look-up of a key, the command line of whoever runs the machine.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.is_sqlite else _server_engine(url)
        guard(self.engine)
        self._writing = threading.Lock()

    def read(self, tenant: int | None = None) -> Snapshot:
        """One read-only snapshot, to be entered; nothing that is changed in it is kept."""
        return Snapshot(self.engine, tenant)

    @contextmanager
    def write(self, tenant: int | None = None) -> Iterator[Writing]:
        """One transaction. SQLite takes the write lock at once, so no later step can be refused it."""
        with self._turn(), Writing(self.engine, tenant) as session:
            yield session

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """On SQLite, threads that write take turns here: who waits for the file sleeps, and longer each time, also when
        it has long been free.
        """
        taken = self.is_sqlite and self._writing.acquire(timeout=_WRITE_S)
        try:
            yield
        finally:
            if taken:
                self._writing.release()

    def compact(self) -> bool:
        """Rewrites the tables without what was deleted from them, the log of changes too; False: somebody still reads
        from the old state, so it is to be tried again.

        What PostgreSQL's own log, its replicas and any backup hold ends when those do.

        Raises:
            UnavailableError: the database refuses for now: it is in use, or its disk is full.
        """
        with self._turn(), self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            try:
                return self._vacuum(driver)
            except self.engine.dialect.loaded_dbapi.Error as error:
                raise UnavailableError("the database could not be rewritten for now; it is tried again") from error

    def _vacuum(self, driver: Any) -> bool:
        if self.is_sqlite:
            driver.execute(f"PRAGMA busy_timeout = {_COMPACT_S * 1000}")
            try:
                driver.execute("VACUUM")
                return not driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                driver.execute(f"PRAGMA busy_timeout = {_WRITE_S * 1000}")
        driver.autocommit = True
        try:
            driver.execute("VACUUM")
        finally:
            driver.autocommit = False
        return True

    def close(self) -> None:
        """Closes every pooled connection."""
        self.engine.dispose()


def insert_or_skip(session: Session, table: type[Any]) -> sqlite.Insert | postgresql.Insert:
    """An insert that passes over rows which a unique constraint says are there already."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing()


def insert_new(session: Session, table: type[Any], rows: Sequence[dict[str, Any]]) -> None:
    """Inserts the rows that no unique constraint says are there already."""
    if rows:
        session.execute(insert_or_skip(session, table), list(rows))


_NOW = Prepared(select(db_now().label("now")))


def now(session: Session) -> datetime:
    """The database's clock."""
    at: datetime = _NOW.first(session).now
    return at


def json_text(value: Any) -> str:
    """JSON as it is stored: the same text for equal values."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": _WRITE_S, "check_same_thread": False},
        json_serializer=json_text,
        pool_size=16,
        max_overflow=48,
        pool_use_lifo=True,  # each connection has pages and statements of its own: few that are warm, not all by turns
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _server_engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=8, max_overflow=24, json_serializer=json_text)
    event.listen(engine, "connect", _prepare_server)
    event.listen(engine, "checkin", _rested)
    event.listen(engine, "checkout", partial(_awake, engine))
    return engine


def _prepare_server(connection: Any, _: ConnectionPoolEntry) -> None:
    """Compiling our short statements to machine code takes PostgreSQL longer than running them."""
    connection.autocommit = True
    connection.execute("SET jit = off")
    connection.autocommit = False


def _rested(_: Any, entry: ConnectionPoolEntry) -> None:
    entry.info["since"] = time.monotonic()


def _awake(engine: Engine, connection: Any, entry: ConnectionPoolEntry, _: Any) -> None:
    """A connection that lay idle is tried before it is used; one used a moment ago is there still."""
    if time.monotonic() - entry.info.get("since", 0.0) < _TRUSTED_S:
        return
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        raise DisconnectionError from error


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    """The driver's own transaction control is switched off: it begins too late to guard a read-then-write."""
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-65536",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if BEGUN not in options:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("ambit_write", False) else "BEGIN")
