"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from embed.index.base import IndexUnavailableError


class IndexHeldError(IndexUnavailableError):
    """Another process has the folder now."""


class FolderLock:
    """An advisory lock on a file; the system frees it when the process ends, however it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._held: int | None = None

    def acquire(self) -> None:
        """Takes the lock unless it is held already; makes the folder.

        Raises:
            IndexHeldError: another process has it.
        """
        if self._held is not None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise IndexHeldError(
                f"another process holds the index in {self._file.parent}; `ambit serve` is probably running: "
                "talk to it with --url, or stop it"
            ) from None
        self._held = handle

    def release(self) -> None:
        """Gives the lock back, if it is held."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
