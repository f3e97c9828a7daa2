"""Heartbeats: the leases of what this process works at are renewed while it works, however long that takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from core.clock import db_in, db_now
from core.db import Database
from core.jobs import Claim, Leased
from core.telemetry import logger

LONGEST_S = 3600.0
"""Work that has not ended by then hangs: its lease is let go, and another worker may take it."""


class Heart:
    """One thread that renews leases at a third of their length. Thread-safe; it starts with the first work."""

    def __init__(self, db: Database, lease_s: float, *, longest_s: float = LONGEST_S) -> None:
        self._db, self._lease_s, self._longest_s = db, lease_s, longest_s
        self._held: dict[int, tuple[type[Leased], Sequence[Claim], float]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def keeping(self, table: type[Leased], claims: Sequence[Claim]) -> Iterator[None]:
        """Keeps these claims while its block runs; a claim that was given back or lost stays so."""
        entry = (table, claims, time.monotonic() + self._longest_s)
        with self._lock:
            self._held[id(entry)] = entry
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ambit-heart", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._held[id(entry)]

    def stop(self) -> None:
        """Renews nothing more."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._lease_s / 3):
            try:
                self._beat()
            except SQLAlchemyError as error:
                logger().warning("lease.unrenewed", reason=type(error).__name__)

    def _beat(self) -> None:
        with self._lock:
            living = [(table, one) for table, claims, ends in self._held.values() for one in claims if _ahead(ends)]
        if not living:
            return
        with self._db.write() as session:
            for table, one in living:
                key: Any = table.id  # type: ignore[attr-defined]
                mine = (key == one.id, table.lease_token == one.token, table.lease_until.is_not(None))
                session.execute(
                    update(table).where(*mine).values(lease_until=db_in(self._lease_s), stamped_at=db_now())
                )


def _ahead(ends: float) -> bool:
    return time.monotonic() < ends
