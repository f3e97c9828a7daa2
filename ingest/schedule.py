"""Schedules: start the runs whose time has come, by the database's clock, each kind on a schedule of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TypeAlias

from croniter import croniter
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db import now
from core.errors import InvalidError
from core.tables import Run, Source
from ingest.queue import LISTED
from ingest.runs import OPEN_RUN, start_run

Due: TypeAlias = tuple[Source, str]
_INTERVAL = re.compile(r"(\d{1,6})\s*([smhd])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def any_due(session: Session) -> bool:
    """Whether a schedule has passed since its source's last run of that kind began; takes no lock."""
    return next(_due(session), None) is not None


def start_due(session: Session) -> list[int]:
    """Starts a run of each source and kind whose schedule has passed since its last one began; returns their ids."""
    return [start_run(session, source, kind=kind, trigger="schedule").id for source, kind in list(_due(session))]


def _due(session: Session) -> Iterator[Due]:
    at = now(session)
    rows = session.execute(
        select(Run.source_id, Run.kind, func.max(Run.created_at)).group_by(Run.source_id, Run.kind)
    ).all()
    last = {(source, kind): began for source, kind, began in rows}
    open_runs = session.execute(select(Run.source_id, Run.kind).where(Run.state.in_(OPEN_RUN), Run.state != "held"))
    going = {(source, kind) for source, kind in open_runs}
    for source in session.scalars(select(Source).where(Source.state == "active", Source.connector != "push")):
        for kind in LISTED:
            before = last.get((source.id, kind)) or source.created_at
            if (source.id, kind) not in going and is_due(source.schedule.get(kind), before, at):
                yield source, kind


def is_due(schedule: str | None, before: datetime, at: datetime) -> bool:
    """Whether a schedule names a time after `before` and not after `at` (both UTC)."""
    if not schedule:
        return False
    every = interval(schedule)
    if every is not None:
        return before + every <= at
    latest: datetime = croniter(schedule, at).get_prev(datetime)
    return latest > before


def interval(schedule: str) -> timedelta | None:
    """The time that `90s`, `15m`, `6h` or `1d` says; None: it is a cron line."""
    found = _INTERVAL.match(schedule.strip())
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


def check_schedule(schedule: str) -> str:
    """`schedule` if it is one.

    Raises:
        InvalidError: it is neither a cron line nor an interval.
    """
    every = interval(schedule)
    if every is not None and every >= timedelta(seconds=1):
        return schedule.strip()
    if len(schedule.split()) != 5 or not croniter.is_valid(schedule):
        raise InvalidError("write five cron fields, as in */15 * * * *, or an interval such as 15m, 6h, 1d")
    return schedule
