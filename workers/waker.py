"""Wake-ups: at most one message a stage in each short while, and never fewer than the last one asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from celery import Celery
from kombu.exceptions import OperationalError

from core.telemetry import logger
from workers.app import QUEUES, limits

PAUSE_S = 0.2


class Waker:
    """Callable as `wake(stage)`. A burst becomes one message at once and one when the pause is over. Thread-safe.

    A broker that is away is no error: the work waits in SQL and the sweeper wakes it.
    """

    def __init__(self, send: Callable[[str], None], pause_s: float = PAUSE_S) -> None:
        self._send_now, self._pause_s = send, pause_s
        self._lock = threading.Lock()
        self._sent: dict[str, float] = {}
        self._timers: dict[str, threading.Timer] = {}

    def __call__(self, stage: str) -> None:
        """Sends a wake-up now, or at the end of the pause if one was sent just before."""
        with self._lock:
            wait = self._sent.get(stage, 0.0) + self._pause_s - time.monotonic()
            if wait > 0:
                self._later(stage, wait)
                return
            self._sent[stage] = time.monotonic()
        self._send(stage)

    def _later(self, stage: str, wait: float) -> None:
        if stage not in self._timers:
            timer = threading.Timer(wait, self._trailing, [stage])
            timer.daemon = True
            self._timers[stage] = timer
            timer.start()

    def _trailing(self, stage: str) -> None:
        with self._lock:
            self._timers.pop(stage, None)
            self._sent[stage] = time.monotonic()
        self._send(stage)

    def _send(self, stage: str) -> None:
        try:
            self._send_now(stage)
        except (OperationalError, OSError) as error:
            logger().warning("wake.unsent", stage=stage, reason=type(error).__name__)


def celery_waker(app: Celery) -> Waker:
    """A waker that sends the task of the stage to its queue."""

    def send(stage: str) -> None:
        queue = app.conf.ambit_queue_prefix + QUEUES[stage]
        app.send_task("ambit.step", args=[stage], queue=queue, retry=False, ignore_result=True, **limits(stage))

    return Waker(send)
