"""How far a listing of tables is, and from where on each table's changes are asked for; plain JSON between syncs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ingest.connectors.sql_config import SqlConfig
from ingest.connectors.sql_values import decode_key, encode_key
from ingest.model import JsonObject


@dataclass(slots=True)
class Progress:
    """One listing.

    Attributes:
        table: the table that the listing is at, `after` the key of the last row sent of it; None: it begins.
        since: of each table whose changes alone are asked for, the value of its cursor column from which.
        latest: of each table with a cursor column, the highest value at the beginning of this listing.
        whole_at: when the last whole listing began, in seconds since 1970.
    """

    config: str
    table: str | None = None
    after: list[Any] | None = None
    since: dict[str, Any] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)
    whole_at: float = 0.0

    @property
    def full(self) -> bool:
        """Whether every row is listed."""
        return not self.since

    @property
    def rest_point(self) -> JsonObject:
        """The cursor to go on from after the last row that was sent."""
        return {
            **self.end_point,
            "table": self.table,
            "after": self.after,
            "since": {name: encode_key([value]) for name, value in self.since.items()},
        }

    @property
    def end_point(self) -> JsonObject:
        """The cursor of a listing that ended."""
        latest = {name: encode_key([value]) for name, value in self.latest.items()}
        return {"config": self.config, "latest": latest, "whole_at": self.whole_at}


def progress_of(config: SqlConfig, cursor: JsonObject | None) -> Progress:
    """Where `cursor` leaves off; the beginning of everything where that is too long ago or cannot be told."""
    if not cursor or cursor.get("config") != config.fingerprint:
        return Progress(config.fingerprint, whole_at=time.time())
    latest = _decoded(cursor["latest"])
    if "table" in cursor:
        return Progress(
            config.fingerprint, cursor["table"], cursor["after"], _decoded(cursor["since"]), latest, cursor["whole_at"]
        )
    if time.time() - cursor["whole_at"] > config.full_every_h * 3600:
        return Progress(config.fingerprint, whole_at=time.time())
    since = {name: _earlier(value, config.overlap_s) for name, value in latest.items()}
    return Progress(config.fingerprint, since=since, latest=latest, whole_at=cursor["whole_at"])


def _decoded(values: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {name: decode_key(value)[0] for name, value in values.items()}


def _earlier(value: Any, seconds: float) -> Any:
    """A time so many seconds before; numbers and texts stay, since what stands below them cannot be told."""
    return value - timedelta(seconds=seconds) if isinstance(value, datetime) else value
