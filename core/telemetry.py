"""Logs on an allow-list of fields, and the Prometheus registry."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from core.settings import Settings

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "tenant", "source", "run", "item", "stage", "state", "code", "count", "took_ms",
        "app", "method", "route", "status", "request", "attempt", "worker", "reason", "model", "encoder", "url", "kind",
    }
)  # fmt: skip


def keep_allowed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drops every field that is not on the list, so that no document text or secret can slip into a log."""
    return {key: value for key, value in event.items() if key in ALLOWED}


def configure_logging(settings: Settings) -> None:
    """Structured logs on standard error: readable on a terminal, JSON elsewhere."""
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            keep_allowed,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def logger() -> Any:
    """The structured logger."""
    return structlog.get_logger()
