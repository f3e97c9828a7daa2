"""A database whose clock stands still until a test moves it, so that times are met exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event

from core.db import Database

TICK = 675
"""Seconds that are 1/128 of a day: SQLite counts days as floating numbers, and tells whole ticks exactly."""
BEGAN = datetime(2026, 11, 20, tzinfo=UTC)
_JULIAN = 2440587.5 + (BEGAN - datetime(1970, 1, 1, tzinfo=UTC)).days
_SERVER = f"""
CREATE SCHEMA stopped;
CREATE TABLE stopped.at (seconds integer NOT NULL);
INSERT INTO stopped.at VALUES (0);
CREATE FUNCTION stopped.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    $$ SELECT timestamptz '{BEGAN.isoformat()}' + make_interval(secs => seconds) FROM stopped.at $$
"""
"""PostgreSQL looks for a function where `search_path` says, and finds this one before its own."""


class StoppedClock:
    """The clock of every connection of `db`: `BEGAN`, and as many seconds more as it was moved to."""

    def __init__(self, db: Database) -> None:
        self._at = 0
        self._db = db
        if not db.is_sqlite:
            with db.write() as session:
                session.connection().exec_driver_sql(_SERVER)
        event.listen(db.engine, "connect", self._hang if db.is_sqlite else _look)
        db.engine.dispose()

    @property
    def at(self) -> int:
        """Seconds after `BEGAN`."""
        return self._at

    @property
    def now(self) -> datetime:
        """What the database says."""
        return BEGAN + timedelta(seconds=self._at)

    def move(self, to: int) -> None:
        """Makes it `to` seconds after `BEGAN`, in whole ticks."""
        if to % TICK:
            raise ValueError(f"{to} seconds are no whole ticks")
        self._at = to
        if not self._db.is_sqlite:
            with self._db.write() as session:
                session.connection().exec_driver_sql(f"UPDATE stopped.at SET seconds = {to}")

    def _hang(self, connection: Any, _: Any) -> None:
        connection.create_function("julianday", 1, lambda _: _JULIAN + self._at / TICK / 128)


def _look(connection: Any, _: Any) -> None:
    connection.autocommit = True
    connection.execute("SET search_path = stopped, pg_catalog, public")
    connection.autocommit = False
