"""The embedded runner: threads of one process that take work straight from the leased rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from core.telemetry import logger
from ingest.dispatch import release_leases
from ingest.pipeline import Pipeline
from ingest.presence import BEAT_S, own_name, report
from ingest.schedule import any_due, start_due
from ingest.stages import STAGES

SCHEDULE_S = 1.0
INDEX_SIDE = ("encode", "place", "finish", "purge")


class Runner:
    """Runs every stage until it is stopped; without a broker, this is the worker.

    Parsing has `worker_threads` threads, listing two, so that one that hangs stops no other; all that writes to the
    index has one, encoding a second, since one encodes while the other stores, and the look at what is current one.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._stop = threading.Event()
        self._rests: list[tuple[Sequence[str], threading.Event]] = []
        self._scheduled = self._reported = 0.0
        self._threads: list[threading.Thread] = []
        pipeline.wake = self._wake
        pipeline.meter.worker = own_name("threads")

    def start(self) -> None:
        """Frees what a killed predecessor held, then starts the threads. The index must be open: it is the lock."""
        with self._pipeline.db.write() as session:
            release_leases(session)
        groups: list[Sequence[str]] = [("list",), ("list",), INDEX_SIDE, ("encode",), ("profile",)]
        groups += [("parse",)] * self._pipeline.settings.worker_threads
        for number, stages in enumerate(groups):
            woken = threading.Event()
            self._rests.append((stages, woken))
            thread = threading.Thread(
                target=self._loop, args=(stages, woken), name=f"ambit-{stages[0]}-{number}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_s: float = 30.0) -> None:
        """Lets each thread end the batch it has, then returns; what is unfinished waits in its rows."""
        self._stop.set()
        for _, woken in self._rests:
            woken.set()
        for thread in self._threads:
            thread.join(timeout_s)

    def _wake(self, stage: str) -> None:
        """Only whose work it is: a look for work costs the others more than a wake-up does."""
        for stages, woken in self._rests:
            if stage in stages:
                woken.set()

    def _loop(self, stages: Sequence[str], woken: threading.Event) -> None:
        while not self._stop.is_set():
            if not self._round(stages):
                woken.wait(self._pipeline.settings.poll_s)
            woken.clear()  # a look for work, or the end, follows: nothing that was told by now is lost

    def _start_scheduled(self) -> bool:
        """Looks at the schedules once a second."""
        if time.monotonic() < self._scheduled + SCHEDULE_S:
            return False
        self._scheduled = time.monotonic()
        self._report()
        with self._pipeline.db.read() as session:
            due = any_due(session)
        if due:
            with self._pipeline.db.write() as session:
                start_due(session)
        return due

    def _report(self) -> None:
        """Says that this process lives, as a worker's does."""
        if time.monotonic() >= self._reported + BEAT_S:
            self._reported = time.monotonic()
            with self._pipeline.db.write() as session:
                report(session, own_name("threads"), "threads", list(STAGES))

    def _round(self, stages: Sequence[str]) -> bool:
        try:
            busy = stages == INDEX_SIDE and self._start_scheduled()
            for stage in stages:
                if not self._stop.is_set():
                    busy |= STAGES[stage](self._pipeline)
        except Exception as error:  # noqa: BLE001 - a worker outlives a database or an index that is away
            logger().error("stage.unavailable", stage=stages[0], reason=type(error).__name__)
            self._stop.wait(1.0)
            return False
        return busy
