"""A circuit breaker: a model that keeps failing is left alone for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """Opens after so many failures in a row; once per rest time one call may try again. Thread-safe.

    Args:
        failures: failures in a row that open it.
        rest_s: seconds it stays open before each trial.
        clock: seconds that only grow.
    """

    def __init__(self, failures: int, rest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._rest_s = rest_s
        self._clock = clock
        self._count = 0
        self._rests_until = 0.0
        self._lock = threading.Lock()

    def admits(self) -> bool:
        """Whether a call may be made now.

        While open, an admitted trial starts the next rest by itself, so that a cancelled trial leaves nothing behind.
        """
        with self._lock:
            if self._count < self._most:
                return True
            now = self._clock()
            if now < self._rests_until:
                return False
            self._rests_until = now + self._rest_s
            return True

    def succeeded(self) -> None:
        """Closes it."""
        with self._lock:
            self._count = 0

    def failed(self) -> None:
        """Counts one failure."""
        with self._lock:
            self._count += 1
            self._rests_until = self._clock() + self._rest_s
