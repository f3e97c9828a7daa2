"""Schedules: start the syncs whose time has come, by the database's clock."""

from __future__ import annotations

from datetime import datetime

from croniter import croniter
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db import now
from core.tables import Run, Source
from ingest.runs import start_run


def any_due(session: Session) -> bool:
    """Whether a schedule has passed since its source's last sync began; takes no lock."""
    return bool(_due(session))


def start_due(session: Session) -> list[int]:
    """Starts a sync of each source whose schedule has passed since its last one began; returns the runs' ids."""
    return [start_run(session, source, trigger="schedule").id for source in _due(session)]


def _due(session: Session) -> list[Source]:
    at = now(session)
    last = select(Run.source_id, func.max(Run.created_at).label("at")).group_by(Run.source_id).subquery()
    rows = session.execute(
        select(Source, last.c.at).outerjoin(last, last.c.source_id == Source.id).where(Source.state == "active")
    )
    return [
        source
        for source, before in rows.all()
        if source.connector != "push" and is_due(source.schedule.get("content"), before or source.created_at, at)
    ]


def is_due(cron: str | None, before: datetime, at: datetime) -> bool:
    """Whether a cron line names a time after `before` and not after `at` (both UTC)."""
    if not cron:
        return False
    latest: datetime = croniter(cron, at).get_prev(datetime)
    return latest > before
