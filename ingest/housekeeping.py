"""What whoever works does beside: what is kept for a time alone is forgotten, and the audit is chained."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import delete

from core.audit import Audit
from core.audit_chain import chain_all
from core.clock import db_in
from core.db import Database
from core.tables import IdempotencyKey

ANSWER_KEPT_S = 24 * 3600.0
"""How long the answer to a write is given again under its `Idempotency-Key`."""
EVERY_S = 3600.0
CHAIN_S = 30.0


class Housekeeping:
    """In this process at most: forgets what is old once an hour, chains the audit every half minute."""

    def __init__(self, db: Database, audit: Audit, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._db, self._audit, self._clock = db, audit, clock
        self._next = self._chain_at = clock()

    def tend(self) -> int:
        """How many rows were forgotten; 0 where it is not time yet."""
        if self._clock() >= self._chain_at:
            self._chain_at = self._clock() + CHAIN_S
            chain_all(self._db, self._audit)
        if self._clock() < self._next:
            return 0
        self._next = self._clock() + EVERY_S
        with self._db.write() as session:
            old = IdempotencyKey.created_at < db_in(-ANSWER_KEPT_S)
            done: Any = session.execute(delete(IdempotencyKey).where(old))
        return int(done.rowcount)
