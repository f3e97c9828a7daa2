"""Emergency access: reading opened to one person at stated places, for a time and with a reason, told everywhere.

It is an admin's allow and no more: a deny and a forbid stand against it, a closed place stays closed, a source whose
access data is too old stays shut. It ends by itself, since its entries do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.clock import db_now
from core.db import now
from core.errors import ConflictError, InvalidError, NotFoundError
from core.ids import public_id
from core.prepared import Prepared
from core.tables import Ace, BreakGlass
from policies.entries import StatedEntry, add_entry
from policies.epoch import bump
from policies.subject import Caller, resolve_subject

SHORTEST_REASON = 10


def open_glass(
    session: Session, tenant: int, user: str, places: Sequence[str], *, reason: str, seconds: int, by: str
) -> BreakGlass:
    """Opens reading of `places` (`source:key`, `source:` for all of it) and everything below them to one person.

    Raises:
        NotFoundError: there is no such active person, or place.
        InvalidError: nothing is named, or the reason says nothing.
    """
    if len(reason.strip()) < SHORTEST_REASON or not places:
        told = f"emergency access needs a reason of at least {SHORTEST_REASON} letters and a place"
        raise InvalidError(told, errors=[{"field": "reason"}])
    subject = resolve_subject(session, Caller(tenant, user))
    if subject.user is None:
        raise NotFoundError(f"there is no active user {user!r}")
    at = now(session)
    ends = at + timedelta(seconds=seconds)
    entries = [
        add_entry(session, tenant, StatedEntry(place, f"user:{subject.name}", expires_at=ends))
        for place in sorted(set(places))
    ]
    opened = BreakGlass(
        public_id=public_id("brk"),
        tenant_id=tenant,
        user_id=subject.user,
        user_key=subject.name,
        reason=reason.strip(),
        places=sorted(set(places)),
        entries={"ids": entries},
        opened_by=by,
        opened_at=at,
        ends_at=ends,
    )
    session.add(opened)
    session.flush()
    return opened


def end_glass(session: Session, tenant: int, name: str, *, by: str) -> BreakGlass:
    """Ends it before its time.

    Raises:
        NotFoundError: there is none.
        ConflictError: it is over.
    """
    row = find_glass(session, tenant, name)
    at = now(session)
    if row.ended_at is not None or row.ends_at <= at:
        raise ConflictError(f"emergency access {name} is over")
    for ace in session.scalars(select(Ace).where(Ace.tenant_id == tenant, Ace.id.in_(row.entries["ids"]))).all():
        if ace.epoch_to is None:
            ace.epoch_to = bump(session, tenant)
    row.ended_at, row.ended_by = at, by
    session.flush()
    return row


def find_glass(session: Session, tenant: int, name: str) -> BreakGlass:
    """The one of that id.

    Raises:
        NotFoundError: there is none.
    """
    row = known_glass(session, tenant, name)
    if row is None:
        raise NotFoundError(f"there is no emergency access {name!r}")
    return row


def known_glass(session: Session, tenant: int, name: str) -> BreakGlass | None:
    """The one of that id; None: there is none."""
    return session.scalars(
        select(BreakGlass).where(BreakGlass.tenant_id == tenant, BreakGlass.public_id == name)
    ).one_or_none()


def standing_glass(session: Session, tenant: int) -> list[BreakGlass]:
    """What is open now, to anybody."""
    statement = select(BreakGlass).where(
        BreakGlass.tenant_id == tenant, BreakGlass.ended_at.is_(None), BreakGlass.ends_at > now(session)
    )
    return list(session.scalars(statement.order_by(BreakGlass.id)))


_OPEN_TO = Prepared(
    select(BreakGlass.public_id)
    .where(
        BreakGlass.tenant_id == bindparam("tenant"),
        BreakGlass.user_key == bindparam("user"),
        BreakGlass.ended_at.is_(None),
        BreakGlass.ends_at > db_now(),
    )
    .order_by(BreakGlass.id)
)


def mark(session: Session, tenant: int, user: str) -> dict[str, list[str]]:
    """What the audit of anything that a person is shown says of their emergency access; empty where there is none.

    Read it in the snapshot that decides, so that access which ends a moment later is still told.
    """
    found = [row.public_id for row in _OPEN_TO.all(session, tenant=tenant, user=user)]
    return {"break_glass": found} if found else {}


def glass_as_dict(row: BreakGlass, at: datetime) -> dict[str, Any]:
    """Plain JSON, with whether it is open `at` a time."""
    return {
        "id": row.public_id,
        "user": row.user_key,
        "places": row.places,
        "reason": row.reason,
        "open": row.ended_at is None and row.ends_at > at,
        "opened_by": row.opened_by,
        "opened_at": row.opened_at.isoformat(),
        "ends_at": row.ends_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "ended_by": row.ended_by,
    }
