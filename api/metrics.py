"""Prometheus metrics: counts and times alone, no names of people, sources or documents."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.types import Scope

from core.db import Database
from ingest.metrics import WorkMetrics

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
        self.registry.register(WorkMetrics(db))

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Counts one request under the template of its route."""
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)
