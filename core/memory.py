"""Memory that this process has freed, given back to the system.

glibc keeps what was freed, in an arena for each thread, and returns by itself only what lies at an arena's end. So a
worker whose batches come and go on many threads holds more and more that nobody uses.
"""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Final

PAUSE_S: Final = 10.0


class Trimmer:
    """Gives freed memory back, at most once in `pause_s` seconds. Thread-safe; without glibc it does nothing."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._due = time.monotonic() + pause_s
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        """Whether it was time, and there was something to give back."""
        if time.monotonic() < self._due or not self._lock.acquire(blocking=False):
            return False
        try:
            self._due = time.monotonic() + self._pause_s
            return trim()
        finally:
            self._lock.release()


def trim() -> bool:
    """Gives back every whole page that is free (glibc's `malloc_trim`); whether there was one."""
    call = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return call is not None and bool(call(0))
