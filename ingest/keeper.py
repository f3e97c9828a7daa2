"""What the process that works keeps an eye on beside the stages: a lost index, a generation that is being built,
directories.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from core.errors import AmbitError
from core.telemetry import logger
from ingest.directories.sync import sync_due
from ingest.housekeeping import Housekeeping
from ingest.pipeline import Pipeline
from ingest.rebuild import build, drop_marked
from ingest.reconcile import counts_differ, repair

LOOK_S = 2.0
COMPARE_S = 24 * 3600.0


class Keeper:
    """One thread: at start it repairs an index that holds another number of points than SQL notes; once a day it
    compares them all; and it builds, switches and drops generations as `ambit reembed` asked for in SQL. A second
    one syncs the directories whose schedule has passed.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._housekeeping = Housekeeping(pipeline.db, pipeline.directories.audit)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ambit-keeper", daemon=True)
        self._directories = threading.Thread(target=self._sync, name="ambit-directories", daemon=True)
        self._compared = 0.0

    def start(self) -> None:
        """Begins; returns at once. The index must be open."""
        self._thread.start()
        self._directories.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Lets the batch in hand end."""
        self._stop.set()
        self._thread.join(timeout_s)
        self._directories.join(timeout_s)

    def _run(self) -> None:
        self._guarded(self._look_at_counts)
        self._compared = time.monotonic()
        while not self._stop.wait(LOOK_S):
            self._guarded(self._tend)

    def _sync(self) -> None:
        """Directories have a thread of their own: what takes long beside them must not make their data too old."""
        while not self._stop.wait(LOOK_S):
            self._guarded(lambda: sync_due(self._pipeline.directories))

    def _tend(self) -> None:
        self._housekeeping.tend()
        drop_marked(self._pipeline)
        build(self._pipeline, rate=self._pipeline.settings.reembed_rate, stop=self._stop)
        if time.monotonic() > self._compared + COMPARE_S:
            self._compared = time.monotonic()
            repair(self._pipeline, stop=self._stop)

    def _look_at_counts(self) -> None:
        if counts_differ(self._pipeline):
            logger().warning("index.differs", mend="repairing it in the background")
            repair(self._pipeline, stop=self._stop)

    @staticmethod
    def _guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except AmbitError as error:
            logger().error("keeper.failed", code=error.code, reason=error.detail)
        except Exception as error:  # noqa: BLE001 - a database or an index that is away may come back
            logger().error("keeper.failed", code="internal", reason=type(error).__name__)
