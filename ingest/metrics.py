"""What stands in SQL as Prometheus metrics: counts and ages alone, no names of people, sources or documents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db import Database, now
from core.tables import Approval, BreakGlass, Directory, Document, Item, Run, Source, StageTime, WorkerBeat
from ingest.dispatch import OPEN
from ingest.meter import BOUNDS_MS
from ingest.presence import living
from ingest.queue import UNLISTED
from ingest.runs import OPEN_RUN
from policies.directories import expiry


class WorkMetrics(Collector):
    """Counted when it is asked for, so that every process that answers says the same."""

    def __init__(self, db: Database, *, keep_open: bool = True) -> None:
        """`keep_open` False: no connection stays open between two answers, for a process that forks."""
        self._db, self._keep_open = db, keep_open

    def describe(self) -> list[Any]:
        """Nothing: registering must not ask SQL."""
        return []

    def collect(self) -> Iterator[Any]:
        """Queues, runs, documents, freshness, workers, stages."""
        with self._db.read() as session:
            yield _gauge("ambit_queue_items", "Open items by stage and state.", ["stage", "state"], items(session))
            yield _gauge("ambit_queue_oldest_seconds", "Age of the oldest run with work.", [], [_oldest(session)])
            yield _gauge("ambit_stage_oldest_seconds", "Longest time that due work waits.", ["stage"], due(session))
            yield _gauge("ambit_items", "Items of runs that are open, by state.", ["state"], _states(session))
            yield _gauge("ambit_runs", "Open runs by kind and state.", ["kind", "state"], _runs(session))
            yield _gauge("ambit_documents", "Documents by state.", ["state"], _documents(session))
            yield _gauge("ambit_break_glass_open", "Emergency access that is open.", [], [(_glass(session),)])
            yield _gauge("ambit_approvals_pending", "Changes that wait for a second person.", [], [(_held(session),)])
            stale, ratio = _freshness(session)
            yield _gauge("ambit_sources_stale", "Sources refused for the age of their access data.", [], [(stale,)])
            yield _gauge("ambit_directories_stale", "Directories whose data is too old.", [], [(_outdated(session),)])
            yield _gauge("ambit_access_age_ratio", "Highest age of access data over its limit.", [], [(ratio,)])
            yield _gauge("ambit_workers", "Processes that reported lately.", ["role"], _workers(session))
            yield _gauge("ambit_messages_refused", "Messages that were not plain JSON.", [], [_refused(session)])
            yield _latency(session)
        if not self._keep_open:
            self._db.close()


def _gauge(name: str, text: str, labels: list[str], rows: list[tuple[Any, ...]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for *values, number in rows:
        family.add_metric([str(value) for value in values], float(number))
    return family


def items(session: Session) -> list[tuple[Any, ...]]:
    """Open items by stage and state."""
    rows = session.execute(
        select(Item.stage, Item.state, func.count()).where(Item.state.in_(OPEN)).group_by(Item.stage, Item.state)
    )
    return [tuple(row) for row in rows]


def _states(session: Session) -> list[tuple[Any, ...]]:
    going = select(Run.id).where(Run.state.in_(OPEN_RUN))
    rows = session.execute(select(Item.state, func.count()).where(Item.run_id.in_(going)).group_by(Item.state))
    return [tuple(row) for row in rows]


def _runs(session: Session) -> list[tuple[Any, ...]]:
    statement = select(Run.kind, Run.state, func.count()).where(Run.state.in_(OPEN_RUN)).group_by(Run.kind, Run.state)
    return [tuple(row) for row in session.execute(statement)]


def _documents(session: Session) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in session.execute(select(Document.state, func.count()).group_by(Document.state))]


def _glass(session: Session) -> int:
    where = (BreakGlass.ended_at.is_(None), BreakGlass.ends_at > now(session))
    return session.scalar(select(func.count()).select_from(BreakGlass).where(*where)) or 0


def _held(session: Session) -> int:
    where = (Approval.state == "pending", Approval.expires_at > now(session))
    return session.scalar(select(func.count()).select_from(Approval).where(*where)) or 0


def _freshness(session: Session) -> tuple[int, float]:
    """How many sources have reached their limit, and the highest share of a limit; a source never crawled has."""
    rows = session.execute(
        select(Source.max_access_age_s, Source.access_synced_at).where(
            Source.state != "deleted", Source.max_access_age_s.is_not(None)
        )
    ).all()
    at = now(session)
    ages = [(at - synced).total_seconds() / (limit or 1) if synced else math.inf for limit, synced in rows]
    return sum(one >= 1 for one in ages), max(ages, default=0.0)


def _outdated(session: Session) -> int:
    """How many directories have reached their limit, so that they give nothing; one never read has."""
    limited = Directory.max_age_s.is_not(None) & (Directory.state != "deleted")
    rows = session.execute(select(Directory.max_age_s, Directory.synced_at).where(limited)).all()
    at = now(session)
    ends = [expiry(limit or 0, synced) for limit, synced in rows]
    return sum(end is None or end <= at for end in ends)


def _oldest(session: Session) -> tuple[float]:
    """Seconds since the oldest run that still has items was started; 0 where nothing waits."""
    oldest = session.scalar(
        select(func.min(Run.created_at)).join(Item, Item.run_id == Run.id).where(Item.state.in_(OPEN))
    )
    return ((now(session) - oldest).total_seconds() if oldest else 0.0,)


def due(session: Session) -> list[tuple[Any, ...]]:
    """By stage, seconds since the time of the oldest work that nobody has taken came."""
    at = now(session)
    free = (Item.state.in_(["pending", "waiting"]), Item.not_before <= at)
    rows = session.execute(select(Item.stage, func.min(Item.not_before)).where(*free).group_by(Item.stage)).all()
    found = [(stage, (at - since).total_seconds()) for stage, since in rows]
    waiting = (Run.state.in_(UNLISTED), Run.lease_until.is_(None), Run.not_before <= at)
    listing = session.scalar(select(func.min(Run.not_before)).where(*waiting))
    return [*found, ("list", (at - listing).total_seconds())] if listing else list(found)


def _workers(session: Session) -> list[tuple[Any, ...]]:
    roles = [one.role for one in living(session)]
    return [(role, roles.count(role)) for role in ("worker", "beat", "threads")]


def _refused(session: Session) -> tuple[float]:
    return (session.scalar(select(func.sum(WorkerBeat.refused))) or 0,)


def _latency(session: Session) -> HistogramMetricFamily:
    family = HistogramMetricFamily("ambit_stage_seconds", "Length of a turn of a stage.", labels=["stage"])
    rows = session.scalars(select(StageTime)).all()
    for stage in sorted({row.stage for row in rows}):
        mine = {row.le_ms: row for row in rows if row.stage == stage}
        buckets, count = [], 0
        for bound in BOUNDS_MS[:-1]:
            count += mine[bound].turns if bound in mine else 0
            buckets.append((str(bound / 1000), float(count)))
        buckets.append(("+Inf", float(sum(row.turns for row in mine.values()))))
        family.add_metric([stage], buckets, sum(row.total_ms for row in mine.values()) / 1000)
    return family
