"""Work as SQL rows: claimed under a lease, written back only by the claim that still holds.

Each claim raises `lease_token`; every later write names the token it was given, so a worker that lost its lease can
change nothing. Leases and retries use the database's clock; where it was set back, what it stamped before is due at
once. PostgreSQL claims skip locked rows; SQLite's claim is one immediate transaction.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Integer, case, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.clock import db_in, db_now
from core.errors import LeaseLostError

_Wide = BigInteger().with_variant(Integer, "sqlite")


SET_BACK_S = 60.0
"""Seconds by which a stamp must lie in the future to tell that the database's clock was set back since."""


class Leased:
    """Columns of a row that is work. `attempts` counts tries that failed, `lease_token` claims.

    `stamped_at` is the database's time when the row was made, claimed or renewed.
    """

    state: Mapped[str]
    priority: Mapped[int] = mapped_column(_Wide, default=0)
    attempts: Mapped[int] = mapped_column(_Wide, default=0)
    not_before: Mapped[datetime] = mapped_column(default=db_now())
    lease_until: Mapped[datetime | None]
    lease_token: Mapped[int] = mapped_column(_Wide, default=0)
    stamped_at: Mapped[datetime] = mapped_column(default=db_now())


Row = TypeVar("Row", bound=Leased)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one row until the lease ends."""

    id: int
    token: int


def due(table: type[Row]) -> ColumnElement[bool]:
    """Rows whose time has come and that no living lease holds, or whose times say nothing after a clock's step back."""
    free = or_(table.lease_until.is_(None), table.lease_until <= db_now())
    return or_((table.not_before <= db_now()) & free, table.stamped_at > db_in(SET_BACK_S))


def claim(
    session: Session,
    table: type[Row],
    ids: Sequence[int],
    *,
    lease_s: float,
    values: dict[str, Any] | None = None,
    limit: int | None = None,
) -> list[Claim]:
    """Takes the lease of those of `ids` that are still due, in one statement; `lease_token` counts the claims.

    Args:
        limit: most that are taken, those first that come first in `ids`; None: all.
    """
    key: Any = table.id  # type: ignore[attr-defined]
    taken = select(key).where(key.in_(ids), due(table)).with_for_update(skip_locked=True)
    if limit is not None and limit < len(ids):
        taken = taken.order_by(case({id_: place for place, id_ in enumerate(ids)}, value=key)).limit(limit)
    changes = {
        "lease_until": db_in(lease_s),
        "lease_token": table.lease_token + 1,
        "stamped_at": db_now(),
        "not_before": case((table.not_before > db_now(), db_now()), else_=table.not_before),
        **(values or {}),
    }
    done = session.execute(update(table).where(key.in_(taken)).values(changes).returning(key, table.lease_token))
    return [Claim(id=row[0], token=row[1]) for row in done]


def renew(session: Session, table: type[Row], held: Sequence[Claim], *, lease_s: float) -> None:
    """Extends each lease that is still held.

    Raises:
        LeaseLostError: one of them is not.
    """
    for one in held:
        settle(session, table, one, lease_until=db_in(lease_s), stamped_at=db_now())


def settle(session: Session, table: type[Row], held: Claim, **values: Any) -> None:
    """Writes `values` to the row, if the claim still holds it.

    Raises:
        LeaseLostError: another worker claimed the row since.
    """
    key: Any = table.id  # type: ignore[attr-defined]
    done: Any = session.execute(update(table).where(key == held.id, table.lease_token == held.token).values(values))
    if done.rowcount != 1:
        raise LeaseLostError(f"the lease on {table.__name__} {held.id} went to another worker")


def backoff_s(attempt: int, base_s: float, ceiling_s: float = 3600.0) -> float:
    """Seconds before try number `attempt` + 1: doubling from `base_s`, with full jitter above half."""
    full = min(ceiling_s, base_s * 2.0 ** max(0, attempt - 1))
    return full * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing
