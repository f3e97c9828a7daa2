"""Looks through the files of a folder for some forms, as a process of its own: `python reading.py < asked.json`.

SQLite's locks are the process's, and end when it closes any handle of the file. Needs nothing but the standard library.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Wanted = Sequence[tuple[bytes, re.Pattern[bytes]]]
_WINDOW = 8 * 1024 * 1024
_OVERLAP = 4096


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """How many `files` were read, and those `holding` one of the forms.

    Args:
        asked: the `folder`; names at its top that are `skipped`; the files of the `database`, which are read where
            they are, and not at all if `quiet`; the forms `wanted`, each a probe in lower case and a pattern.
    """
    folder, database = Path(asked["folder"]).resolve(), [Path(one) for one in asked["database"]]
    wanted = [(probe.encode(), re.compile(pattern.encode(), re.IGNORECASE)) for probe, pattern in asked["wanted"]]
    paths = [one for one in _below(folder, asked["skipped"]) if one not in database]
    paths += [] if asked["quiet"] else [one for one in database if one.exists()]
    return {"files": len(paths), "holding": [_told(one, folder) for one in paths if _within(one, wanted)]}


def _told(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _below(folder: Path, skipped: Sequence[str]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.relative_to(folder).parts[0] not in skipped and path.is_file() and not path.is_symlink():
            yield path


def _within(path: Path, wanted: Wanted) -> bool:
    """Whether a file holds one of the forms; each is looked for by its probe first, which is much quicker."""
    kept = b""
    try:
        stream = path.open("rb")
    except FileNotFoundError:  # gone since the folder was listed
        return False
    with stream:
        while window := stream.read(_WINDOW):
            looked = kept + window
            folded = looked.lower()
            if any(probe in folded and pattern.search(looked) for probe, pattern in wanted):
                return True
            kept = looked[-_OVERLAP:]
    return False


if __name__ == "__main__":
    json.dump(look(json.load(sys.stdin)), sys.stdout)
