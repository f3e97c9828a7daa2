"""Directories as API and command line show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import now
from core.tables import Directory


def directory_views(session: Session, tenant: int) -> list[dict[str, Any]]:
    """All of them that are not deleted, by id."""
    at = now(session)
    rows = session.scalars(
        select(Directory).where(Directory.tenant_id == tenant, Directory.state != "deleted").order_by(Directory.key)
    )
    return [directory_view(row, at) for row in rows]


def directory_view(row: Directory, at: datetime) -> dict[str, Any]:
    """How a directory stands; past its limit (`fresh` false) it gives nothing."""
    age = (at - row.synced_at).total_seconds() if row.synced_at else None
    fresh = row.max_age_s is None or (age is not None and age < row.max_age_s)
    return {
        "id": row.key,
        "url": row.config.get("url"),
        "schedule": row.schedule,
        "outcome": row.outcome,
        "told": row.told,
        "synced_at": row.synced_at.isoformat() if row.synced_at else None,
        "tried_at": row.tried_at.isoformat() if row.tried_at else None,
        "access": {"age_s": age, "max_age_s": row.max_age_s, "fresh": fresh},
    }
