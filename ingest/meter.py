"""How long the stages take: counted in each process, added up in SQL every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from core.clock import db_now
from core.db import Database, insert_new
from core.tables import StageTime, WorkerBeat
from core.telemetry import logger

BOUNDS_MS: Final = (10, 50, 100, 500, 1000, 5000, 10_000, 30_000, 60_000, 300_000, 3_600_000)
"""The last one also takes what is longer."""
FLUSH_S = 5.0


class Meter:
    """Counts turns of stages by their length. Thread-safe. `worker` names the process's row, if it has one."""

    def __init__(self, db: Database, worker: str | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._db, self.worker, self._clock = db, worker, clock
        self._counted: dict[tuple[str, int], tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._flushed = clock() - FLUSH_S  # the first turn is told at once, since no other may follow

    @contextmanager
    def turn(self, stage: str) -> Iterator[list[bool]]:
        """Measures a block; it counts where the block puts something into the list it is given."""
        begun = self._clock()
        worked: list[bool] = []
        try:
            yield worked
        finally:
            if worked:
                self._add(stage, int((self._clock() - begun) * 1000))

    def _add(self, stage: str, took_ms: int) -> None:
        bound = next((one for one in BOUNDS_MS if took_ms <= one), BOUNDS_MS[-1])
        with self._lock:
            turns, total = self._counted.get((stage, bound), (0, 0))
            self._counted[stage, bound] = (turns + 1, total + took_ms)
            late = self._clock() - self._flushed >= FLUSH_S
        if late:
            self.flush()

    def flush(self) -> None:
        """Adds what was counted to SQL; what cannot be added is lost, since counting must stop no work."""
        with self._lock:
            counted, self._counted = self._counted, {}
            self._flushed = self._clock()
        if not counted:
            return
        try:
            self._write(counted)
        except SQLAlchemyError as error:
            logger().warning("meter.unwritten", reason=type(error).__name__)

    def _write(self, counted: dict[tuple[str, int], tuple[int, int]]) -> None:
        with self._db.write() as session:
            keys = sorted(counted)
            insert_new(session, StageTime, [{"stage": s, "le_ms": le, "turns": 0, "total_ms": 0} for s, le in keys])
            for stage, bound in keys:
                turns, total = counted[stage, bound]
                session.execute(
                    update(StageTime)
                    .where(StageTime.stage == stage, StageTime.le_ms == bound)
                    .values(turns=StageTime.turns + turns, total_ms=StageTime.total_ms + total)
                )
            if self.worker is not None:
                session.execute(update(WorkerBeat).where(WorkerBeat.name == self.worker).values(worked_at=db_now()))
