"""Prometheus metrics: counts and times alone, no names of people, sources or documents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.types import Scope

from core.db import Database, now
from core.tables import Directory, Document, Item, Run, Source
from ingest.dispatch import OPEN
from ingest.runs import OPEN_RUN
from policies.directories import expiry

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Metrics:
    """The metrics of one app, in a registry of its own."""

    def __init__(self, db: Database) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "ambit_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "ambit_http_request_seconds", "Time to the end of the answer.", ["route"], registry=self.registry
        )
        self.registry.register(_Work(db))

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Counts one request under the template of its route."""
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)


class _Work(Collector):
    """What stands in SQL, counted when it is asked for."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def describe(self) -> list[Any]:
        """Nothing: registering must not ask SQL."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Queue depth and age, open runs, documents."""
        with self._db.read() as session:
            yield _gauge("ambit_queue_items", "Open items by stage and state.", ["stage", "state"], _items(session))
            yield _gauge("ambit_queue_oldest_seconds", "Age of the oldest run with work.", [], [_oldest(session)])
            yield _gauge("ambit_runs", "Open runs by state.", ["state"], _runs(session))
            yield _gauge("ambit_documents", "Documents by state.", ["state"], _documents(session))
            stale, ratio = _freshness(session)
            yield _gauge("ambit_sources_stale", "Sources refused for the age of their access data.", [], [(stale,)])
            yield _gauge("ambit_directories_stale", "Directories whose data is too old.", [], [(_outdated(session),)])
            yield _gauge("ambit_access_age_ratio", "Highest age of access data over its limit.", [], [(ratio,)])


def _gauge(name: str, text: str, labels: list[str], rows: list[tuple[Any, ...]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for *values, number in rows:
        family.add_metric([str(value) for value in values], float(number))
    return family


def _items(session: Session) -> list[tuple[Any, ...]]:
    rows = session.execute(
        select(Item.stage, Item.state, func.count()).where(Item.state.in_(OPEN)).group_by(Item.stage, Item.state)
    )
    return [tuple(row) for row in rows]


def _runs(session: Session) -> list[tuple[Any, ...]]:
    rows = session.execute(select(Run.state, func.count()).where(Run.state.in_(OPEN_RUN)).group_by(Run.state))
    return [tuple(row) for row in rows]


def _documents(session: Session) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in session.execute(select(Document.state, func.count()).group_by(Document.state))]


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
