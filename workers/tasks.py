"""The tasks: a thin wrap around the stages, and the sweep that wakes what waits."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from celery import Celery
from celery.signals import worker_process_shutdown

from core.audit import Audit
from core.db import Database
from core.secrets import Keyring
from core.settings import Settings
from embed.stack import VectorStack
from ingest.directories.sync import sync_due
from ingest.dispatch import work_waits
from ingest.housekeeping import Housekeeping
from ingest.pipeline import Pipeline
from ingest.reconcile import repair
from ingest.schedule import start_due
from ingest.stages import STAGES
from workers.app import make_app
from workers.waker import Waker, celery_waker

CHECKED = "workers.strategy:checked"
TURN_S = 10.0
"""How long one message works before it hands on to the next, so that queues stay fair and shutdown is short."""


class Worker:
    """What one worker process holds, made in that process at its first task."""

    def __init__(self, settings: Settings, app: Celery) -> None:
        self.settings, self.app = settings, app
        self._pipeline: Pipeline | None = None
        self._housekeeping: Housekeeping | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def pipeline(self) -> Pipeline:
        """The pipeline of this process; a forked child never uses its parent's connections."""
        with self._lock:
            if self._pipeline is None or self._owner != os.getpid():
                db = Database(self.settings.sql_url)
                keyring = Keyring(self.settings.data_dir / "keys")
                wake = celery_waker(self.app)
                self._pipeline = Pipeline(self.settings, db, VectorStack(self.settings, db), keyring, wake)
                self._pipeline.meter.worker = self.app.conf.get("ambit_worker")
                self._housekeeping = Housekeeping(db, Audit(keyring))
                self._owner = os.getpid()
            return self._pipeline

    def step(self, stage: str) -> None:
        """Works at a stage until there is nothing to do or the turn is over."""
        pipeline = self.pipeline()
        ends = time.monotonic() + TURN_S
        while STAGES[stage](pipeline):
            if time.monotonic() >= ends:
                pipeline.wake(stage)
                return

    def sweep(self) -> None:
        """Starts what is scheduled and wakes every stage that has work due: whatever was lost is found here."""
        pipeline = self.pipeline()
        with pipeline.db.write() as session:
            start_due(session)
        with pipeline.db.read() as session:
            backlog = self.settings.backlog
            waiting = [stage for stage in STAGES if work_waits(session, stage, backlog=backlog)]
        for stage in waiting:
            pipeline.wake(stage)
        sync_due(pipeline.directories)
        if self._housekeeping is not None:
            self._housekeeping.tend()

    def reconcile(self) -> None:
        """Compares the index with SQL and mends it; what a turn cut short left is found by the next."""
        repair(self.pipeline())

    def close(self, **_: Any) -> None:
        """Stops this process's parsers and connections."""
        with self._lock:
            if self._pipeline is not None and self._owner == os.getpid():
                self._pipeline.close()
                self._pipeline.stack.close()
                self._pipeline.db.close()
                self._pipeline = None


def worker_app(settings: Settings, *, prefix: str = "") -> Celery:
    """The Celery app with its tasks."""
    app = make_app(settings, prefix=prefix)
    worker = Worker(settings, app)

    def step(stage: str) -> None:
        worker.step(stage)

    def sweep() -> None:
        worker.sweep()

    def reconcile() -> None:
        worker.reconcile()

    app.task(name="ambit.step", Strategy=CHECKED)(step)
    app.task(name="ambit.sweep", Strategy=CHECKED)(sweep)
    app.task(name="ambit.reconcile", Strategy=CHECKED)(reconcile)
    worker_process_shutdown.connect(worker.close, weak=False)
    return app


def waker(settings: Settings, *, prefix: str = "") -> Waker:
    """What an API process calls after it has put work into SQL."""
    return celery_waker(make_app(settings, prefix=prefix))
