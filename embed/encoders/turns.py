"""A lock that serves first come, first served."""

from __future__ import annotations

import threading
from collections import deque


class TurnLock:
    """Mutual exclusion in order of arrival.

    Python's own lock may go back to the thread that has just released it, so that a query would wait for every batch
    of a long encoding instead of for one.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            turn.acquire()
        except BaseException:
            self._give_up(turn)
            raise

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._pass_on()

    def _give_up(self, turn: threading.Lock) -> None:
        """An interrupted wait leaves the queue; a turn that was already given goes to the next."""
        with self._guard:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                self._pass_on()

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().release()
        else:
            self._held = False
