"""The installation's own files, which no connector reads.

Its keys are among them. And SQLite's locks are a process's, and end when it closes any handle of the file: a source
that opened the database's file would let another process remove the log of changes that this one still writes to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.settings import Settings
from ingest.model import SourceError

Identity = tuple[int, int]


class Own:
    """Folders and files that are never opened, by what they are and not by how they are called.

    Args:
        paths: of which any may be missing.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._paths = tuple(paths)

    def identities(self) -> frozenset[Identity]:
        """Device and inode of each that is there now."""
        return frozenset(filter(None, map(_identity, self._paths)))

    def refuse(self, path: Path) -> None:
        """Refuses a path of the installation's own, or below one.

        Raises:
            SourceError: it is.
        """
        own = self.identities()
        real = Path(os.path.realpath(path))
        if any(_identity(one) in own for one in (real, *real.parents)):
            raise SourceError(f"{path} is this installation's own, which no source reads; name another place")

    def refuse_around(self, path: Path) -> None:
        """As `refuse`, and a folder that holds one where a name on the way to it does not begin with a dot.

        Raises:
            SourceError: it is, or does.
        """
        self.refuse(path)
        real = Path(os.path.realpath(path))
        for one in self._paths:
            mine = Path(os.path.realpath(one))
            if mine.is_relative_to(real) and not any(part.startswith(".") for part in mine.relative_to(real).parts):
                raise SourceError(f"{path} holds {one}, which is this installation's own; name a folder beside it")


def own_paths(settings: Settings) -> tuple[Path, ...]:
    """Those of an installation: its folder, its keys by whatever name, and an embedded database elsewhere."""
    database = settings.sql_url.partition("sqlite:///")[2]
    return (
        settings.data_dir,
        settings.data_dir / "keys",
        *(Path(f"{database}{end}") for end in ("", "-wal", "-shm") if database),
    )


def is_own(state: os.stat_result, own: frozenset[Identity]) -> bool:
    """Whether what was looked at is one of them."""
    return (state.st_dev, state.st_ino) in own


def paths_in(value: Any) -> list[Path]:
    """What of plain JSON might be a path that is there."""
    if isinstance(value, dict):
        return [path for one in value.values() for path in paths_in(one)]
    if isinstance(value, list):
        return [path for one in value for path in paths_in(one)]
    known = isinstance(value, str) and 1 < len(value) < 4096 and "\0" not in value and os.path.lexists(value)
    return [Path(value)] if known else []


def _identity(path: Path) -> Identity | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
