"""The small file that says a collection of the embedded index is complete, and of what dimension."""

from __future__ import annotations

import json
import os
from pathlib import Path

from embed.index.base import IndexUnavailableError

_NAME = "collection.json"
_VERSION = 1


def read_dimension(folder: Path) -> int | None:
    """Dimension of the collection in `folder`; None where none was completed.

    Raises:
        IndexUnavailableError: the file is damaged or of a later version.
    """
    try:
        stored = json.loads((folder / _NAME).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        stored = {}
    if stored.get("version") != _VERSION:
        raise IndexUnavailableError(f"{folder / _NAME} is damaged or was written by a later version")
    return int(stored["dimension"])


def write_dimension(folder: Path, dimension: int | None) -> None:
    """Marks the collection as complete, durably; None: as gone."""
    if dimension is None:
        (folder / _NAME).unlink(missing_ok=True)
        return
    draft = folder / (_NAME + ".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"version": _VERSION, "dimension": dimension}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / _NAME)
    _sync(folder)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
