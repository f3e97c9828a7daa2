"""Time: UTC instants in Python, integers in SQL, and the database's own clock for leases and freshness."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(value: datetime) -> int:
    """Whole microseconds since 1970."""
    return (value - _EPOCH) // _MICROSECOND


def from_us(value: int) -> datetime:
    """The UTC time so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=value)


class Instant(TypeDecorator[datetime]):
    """An aware UTC `datetime`, stored as whole microseconds since 1970: equal and ordered alike in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Refuses naive values, since their zone would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return to_us(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """The stored microseconds as an aware UTC time."""
        return None if value is None else from_us(int(value))


class db_now(FunctionElement[datetime]):  # noqa: N801 - reads as a SQL function
    """The database's clock, as an `Instant`; `plus_us` shifts it by a constant number of microseconds."""

    type = Instant()
    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - read by SQLAlchemy
        *FunctionElement._traverse_internals,  # noqa: SLF001 - how SQLAlchemy wants a compiled statement's key told
        ("plus_us", InternalTraversal.dp_plain_obj),
    ]
    name = "db_now"

    def __init__(self, plus_us: int = 0) -> None:
        super().__init__()
        self.plus_us = int(plus_us)


def db_in(seconds: float) -> db_now:
    """The database's clock plus `seconds`."""
    return db_now(int(seconds * 1_000_000))


@compiles(db_now)
def _any_now(element: db_now, compiler: SQLCompiler, **_: Any) -> str:
    """For statements that are only looked at; no database runs this."""
    return f"db_now({element.plus_us})"


@compiles(db_now, "sqlite")
def _sqlite_now(element: db_now, compiler: SQLCompiler, **_: Any) -> str:
    return f"(CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER) + {element.plus_us})"


@compiles(db_now, "postgresql")
def _postgresql_now(element: db_now, compiler: SQLCompiler, **_: Any) -> str:
    return f"(CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + {element.plus_us})"


def utc_now() -> datetime:
    """The time on this machine's clock; for display only. Decisions use the database's."""
    return datetime.now(UTC)
