"""Connections that can only read, and give up in time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from core.errors import InvalidError
from ingest.connectors.own import Own
from ingest.model import SourceError

KNOWN = frozenset({"sqlite", "postgresql", "mysql", "mariadb"})
"""Databases whose connections are made read-only and given a limit of time by themselves."""
_PLAIN_ERRORS = {"InterfaceError", "OperationalError", "ProgrammingError"}
"""Kinds of error whose text names tables and columns; that of the others may quote data."""


class ReadOnlyDatabase:
    """A database that is read in short transactions; used from several threads.

    `only_reads`: the account may do nothing else; needed for databases whose connections are not made read-only here.
    `own`: the installation's own files, which are not read.
    """

    def __init__(
        self, url: str, base: Path, timeout_s: float, *, only_reads: bool = False, own: Sequence[Path] = ()
    ) -> None:
        self._url = _checked_url(url, only_reads=only_reads)
        self._timeout_s = timeout_s
        self._kind = self._url.get_backend_name()
        self._file = base / (self._url.database or "") if self._kind == "sqlite" else None
        self._own = Own(own)
        self._engine = _with_driver(self._make_engine, self._url)

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self, what: str) -> Iterator[Connection]:
        """A connection in a read-only transaction of its own.

        Raises:
            SourceError: the database cannot be reached or refuses, or is the installation's own; `what` names what was
                tried.
        """
        if self._file is not None:
            self._own.refuse(self._file)
        try:
            with self._engine.connect() as connection, self._transaction(connection):
                if self._kind == "postgresql":
                    connection.execute(text("SET TRANSACTION READ ONLY"))
                    connection.execute(text(f"SET LOCAL statement_timeout = {max(1, int(self._timeout_s * 1000))}"))
                yield connection
        except SQLAlchemyError as error:
            raise SourceError(f"{self.shown}: {what} failed: {reason_of(error)}") from None

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[None]:
        """A transaction; where the database is not known, one that ends in time and is always rolled back."""
        if self._kind in KNOWN:
            with connection.begin():
                yield
            return
        watch = Timer(self._timeout_s, _stop, [connection.connection.dbapi_connection])
        watch.start()
        try:
            yield
        finally:
            watch.cancel()
            connection.rollback()

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def _make_engine(self) -> Engine:
        if self._file is not None:
            # No pool: an idle SQLite connection would keep a replaced database file open.
            return create_engine("sqlite://", creator=self._open_sqlite, poolclass=NullPool)
        if self._kind not in KNOWN:
            return create_engine(self._url, pool_pre_ping=True)
        seconds = max(1, int(min(self._timeout_s, 30)))
        engine = create_engine(self._url, pool_pre_ping=True, connect_args={"connect_timeout": seconds})
        if self._kind != "postgresql":
            event.listen(engine, "connect", self._limit_mysql)
        return engine

    def _limit_mysql(self, connection: Any, _: object) -> None:
        """Holds for the whole connection: MariaDB counts in seconds, MySQL in milliseconds and under another name."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            maria = "mariadb" in str(cursor.fetchone()[0]).lower()
            limit = (
                f"max_statement_time = {self._timeout_s:.3f}"
                if maria
                else f"max_execution_time = {max(1, int(self._timeout_s * 1000))}"
            )
            cursor.execute(f"SET SESSION {limit}")
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
        # The setting holds from the next transaction on.
        connection.commit()

    def _open_sqlite(self) -> sqlite3.Connection:
        uri = f"file:{quote(str(self._file))}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=self._timeout_s, check_same_thread=False)
        # The driver's own error for text that is not UTF-8 quotes the text.
        connection.text_factory = _lenient
        connection.execute("PRAGMA query_only = ON")
        deadline = time.monotonic() + self._timeout_s
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
        return connection


def _with_driver(make: Callable[[], Engine], url: URL) -> Engine:
    """The engine that `make` makes.

    Raises:
        InvalidError: the database's driver is not installed.
    """
    try:
        return make()
    except ImportError:
        raise InvalidError(f"no driver for {url.drivername}; install ambit[sql], or ambit[server]") from None


def _lenient(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _stop(connection: Any) -> None:
    """Ends what a connection is at, by whichever of these its driver has."""
    for name in ("cancel", "interrupt", "close"):
        if hasattr(connection, name):
            with suppress(Exception):  # each driver has errors of its own; it may have ended by itself
                getattr(connection, name)()
            return


def _checked_url(url: str, *, only_reads: bool) -> URL:
    try:
        parsed = make_url(url)
        name = parsed.get_backend_name()
        if name not in KNOWN:
            parsed.get_dialect()
    except NoSuchModuleError:
        raise InvalidError(f"nothing that is installed reads {url.partition(':')[0]!r} databases") from None
    except ArgumentError:
        raise InvalidError("url is no SQLAlchemy URL; write sqlite:///file.db or postgresql+psycopg://…") from None
    if name not in KNOWN and not only_reads:
        raise InvalidError(
            f"a database of kind {name!r} cannot be opened read-only here; give an account that may only read, and say "
            "only_reads: true"
        )
    if name in ("mysql", "mariadb") and parsed.get_driver_name() != "pymysql":
        raise InvalidError("MariaDB and MySQL are read by pymysql; write mysql+pymysql://…")
    if name == "sqlite" and (not parsed.database or parsed.database.startswith((":", "file:")) or parsed.query):
        raise InvalidError("url must name a SQLite file: sqlite:///file.db")
    return parsed


def reason_of(error: SQLAlchemyError) -> str:
    """Why the database refused, without parameters and data."""
    if not isinstance(error, DBAPIError):
        return type(error).__name__
    kind = type(error).__name__
    lines = str(error.orig).strip().splitlines() if kind in _PLAIN_ERRORS else []
    return f"{kind}: {lines[0]}" if lines else kind
