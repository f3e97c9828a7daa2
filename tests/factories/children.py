"""Processes that come from a server that has everything imported, so that hundreds can be started, and killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Self

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        *("tests.factories.fault_child", "tests.factories.worker_child", "ingest.connectors.folder", "psycopg"),
        *("celery.apps.worker", "celery.bin.worker", "celery.concurrency.prefork", "celery.beat"),
        *("kombu.transport.pyamqp", "kombu.transport.redis"),
    ]
)


def wait_for(done: Callable[[], bool], *, limit_s: float = 120.0) -> None:
    ends = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.02)


class Child:
    """A function in a process and a session of its own."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self.process = _PROCESSES.Process(target=_alone, args=(target, *arguments), daemon=True)
        self.process.start()

    def kill(self) -> None:
        """The process alone, as the system does when memory is short."""
        self.process.kill()
        self.process.join(30)

    def kill_all(self) -> None:
        """The process and its children, as when the machine goes down."""
        assert self.process.pid is not None
        if self.process.exitcode is None:
            wait_for(self._apart, limit_s=30)
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join(30)

    def end(self) -> None:
        """Asks it to end, and waits until it has."""
        self.process.terminate()
        self.process.join(60)
        ended = self.process.exitcode is not None
        self.kill_all()
        assert ended, "it did not end when it was told to"

    def await_end(self, limit_s: float) -> int | None:
        """Its exit status; None where it goes on."""
        self.process.join(limit_s)
        return self.process.exitcode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.process.close()

    def _apart(self) -> bool:
        """Whether its session is its own by now, or it has ended."""
        assert self.process.pid is not None
        return self.process.exitcode is not None or os.getpgid(self.process.pid) == self.process.pid


def _alone(target: Callable[..., None], *arguments: Any) -> None:
    os.setsid()
    target(*arguments)
