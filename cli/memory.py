"""The memory of this process and all its children, at its highest."""

from __future__ import annotations

import threading
from typing import Self

import psutil

LOOK_S = 0.25


class PeakMemory:
    """Looks four times a second between `with` and the end of its block.

    Attributes:
        peak_mb: MiB resident, summed over the processes; pages that they share count for each.
    """

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ambit-memory", daemon=True)

    def __enter__(self) -> Self:
        """Begins to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while True:
            self.peak_mb = max(self.peak_mb, _resident(own) / 2**20)
            if self._stop.wait(LOOK_S):
                return


def _resident(own: psutil.Process) -> int:
    total = 0
    for process in [own, *own.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue  # it ended between the two looks
    return total
