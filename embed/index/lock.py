"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from embed.index.base import IndexUnavailableError

_TAKEOVER_S = 5.0
"""A process that was killed leaves behind the one that holds the index for it, for as long as a call there takes."""
_LOOK_S = 0.05


class IndexHeldError(IndexUnavailableError):
    """Another process has the folder now."""


class FolderLock:
    """An advisory lock on a file; the system frees it when the process ends, however it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._held: int | None = None

    def acquire(self) -> None:
        """Takes the lock unless it is held already; makes the folder. Waits for a process that is about to end.

        Raises:
            IndexHeldError: another process has it, and kept it.
        """
        if self._held is not None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        ends = time.monotonic() + _TAKEOVER_S
        while not _taken(handle):
            if time.monotonic() > ends:
                os.close(handle)
                raise IndexHeldError(
                    f"another process holds the index in {self._file.parent}; `ambit serve` is probably running: "
                    "talk to it with --url, or stop it"
                )
            time.sleep(_LOOK_S)
        self._held = handle

    def release(self) -> None:
        """Gives the lock back, if it is held."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
