"""Directories with a limit: how old their data is, and what follows once it is too old.

What an outdated directory says gives nothing any more, and takes nothing back: an allow through its groups ends, a
deny through them holds, for those last known to be in them and, since nobody knows who joined since, for everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.clock import to_us
from core.db import now
from core.prepared import Prepared
from core.tables import Directory

LIMITS = (Directory.key.label("directory"), Directory.max_age_s, Directory.synced_at)
"""What of a directory says whether it is too old."""
_LIMITED = Prepared(select(*LIMITS).where(Directory.tenant_id == bindparam("tenant"), Directory.max_age_s.is_not(None)))


@dataclass(frozen=True, slots=True)
class Standing:
    """Which origins are too old at one time (`stale`), and when the next one will be (None: none has a limit)."""

    stale: frozenset[str] = frozenset()
    ends_at: datetime | None = None


def standing(session: Session, tenant: int, *, at: datetime | None = None) -> Standing:
    """How the tenant's directories stand `at` a time (None: the database's now)."""
    return standing_of(session, _LIMITED.all(session, tenant=tenant), at=at)


def standing_of(session: Session, limits: Iterable[Sequence[Any]], *, at: datetime | None = None) -> Standing:
    """As `standing`, for the directories with a limit, each as its `LIMITS`, that are read already."""
    ends = {f"ldap:{key}": expiry(limit or 0, synced) for key, limit, synced in limits}
    if not ends:
        return Standing()
    at = at or now(session)
    stale = frozenset(origin for origin, end in ends.items() if end is None or end <= at)
    return Standing(stale, min((end for end in ends.values() if end is not None and end > at), default=None))


def expiry(max_age_s: int, synced_at: datetime | None) -> datetime | None:
    """When the data of a directory reaches its limit; None where it was never read, so that it has."""
    return None if synced_at is None else synced_at + timedelta(seconds=max_age_s)


def fresh_only(stated: Mapping[str, Any], stale: Iterable[str]) -> dict[str, Any]:
    """What the origins that are not too old say of a user."""
    gone = set(stale)
    return {origin: said for origin, said in stated.items() if origin not in gone}


def directory_state(row: Directory) -> dict[str, Any]:
    """What of a directory goes into decisions, as `policies.epoch.remember` takes it."""
    synced = row.synced_at
    return {"max_age_s": row.max_age_s, "synced_at": None if synced is None else to_us(synced), "key": row.key}
