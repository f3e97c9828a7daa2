"""How our own column types are written in a migration: as the plain types they are stored as."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import BigInteger

from core.clock import Instant


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A migration must not change with our code, so it names no class of ours; False: Alembic's own way.

    `BIG` stands in the template of migrations: every wide integer of the tables is `core.tables.base.BigId`.
    """
    if kind != "type":
        return False
    if isinstance(item, Instant):
        return "sa.BigInteger()"
    return "BIG" if isinstance(item, BigInteger) else False
