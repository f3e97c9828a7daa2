"""What is kept for a time alone: forgotten by whoever works, once an hour."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import delete

from core.clock import db_in
from core.db import Database
from core.tables import IdempotencyKey

ANSWER_KEPT_S = 24 * 3600.0
"""How long the answer to a write is given again under its `Idempotency-Key`."""
EVERY_S = 3600.0


class Housekeeping:
    """Forgets what is old, at most once an hour in this process."""

    def __init__(self, db: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._db, self._clock = db, clock
        self._next = clock()

    def tend(self) -> int:
        """How many rows went; 0 where it is not time yet."""
        if self._clock() < self._next:
            return 0
        self._next = self._clock() + EVERY_S
        with self._db.write() as session:
            old = IdempotencyKey.created_at < db_in(-ANSWER_KEPT_S)
            done: Any = session.execute(delete(IdempotencyKey).where(old))
        return int(done.rowcount)
