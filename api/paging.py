"""Pages by cursor: an opaque name for the last row seen, so that rows that come and go shift nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.errors import InvalidError

Limit = Annotated[int, Query(ge=1, le=500, description="Most rows of a page.")]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")]
_LARGEST_ID = 2**63 - 1


def page(
    session: Session,
    statement: Select[Any],
    key: InstrumentedAttribute[int],
    *,
    limit: int,
    cursor: str | None,
    newest_first: bool = False,
) -> tuple[list[Any], str | None]:
    """The rows (first column) of one page, and the cursor of the next one; None: there is none.

    Raises:
        InvalidError: the cursor is none of ours.
    """
    if cursor is not None:
        last = read_cursor(cursor)
        statement = statement.where(key < last if newest_first else key > last)
    ordered = statement.order_by(key.desc() if newest_first else key)
    rows: Sequence[Any] = session.scalars(ordered.limit(limit + 1)).all()
    kept = list(rows[:limit])
    return kept, write_cursor(getattr(kept[-1], key.key)) if len(rows) > limit else None


def write_cursor(last: int) -> str:
    """Names the row a page ended at."""
    return base64.urlsafe_b64encode(f"1:{last}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> int:
    """The row a cursor names.

    Raises:
        InvalidError: it is none of ours.
    """
    try:
        version, _, last = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(":")
        number = int(last)
    except (binascii.Error, ValueError):
        version, number = "", 0
    if version != "1" or not 0 <= number <= _LARGEST_ID:
        raise InvalidError(
            "cursor is not one that this API gave", errors=[{"field": "cursor", "message": "not one this API gave"}]
        )
    return number
