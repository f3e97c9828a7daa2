"""A database that the SQL connector knows nothing of: SQLite's files under another name, as a dialect of somebody's."""

from __future__ import annotations

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite


class LedgerDialect(SQLiteDialect_pysqlite):
    """Opened by `ledger:///file`."""

    name = "ledger"
    supports_statement_cache = True


def register() -> None:
    """Makes `ledger` a kind of database that SQLAlchemy knows."""
    registry.register("ledger", __name__, "LedgerDialect")
