"""`serve.json`: how other commands find the `ambit serve` that holds this data folder."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "serve.json"
LOCAL_PREFIX = "/local"


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server: its process, its address, and the token that proves a caller may read this folder."""

    pid: int
    url: str
    token: str


def found(data_dir: Path) -> Serving | None:
    """The server of this folder; None where none runs. A file that a killed one left behind counts as none."""
    try:
        told = json.loads((data_dir / NAME).read_text("utf-8"))
        serving = Serving(int(told["pid"]), str(told["url"]), str(told["token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return serving if serving.token and alive(serving.pid) else None


def alive(pid: int) -> bool:
    """Whether that process runs. One of another person counts too."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def announced(data_dir: Path, url: str) -> Iterator[Serving]:
    """Writes the file, readable by its owner alone, and removes it at the end if it is still ours."""
    serving = Serving(os.getpid(), url, secrets.token_urlsafe(32))
    path = data_dir / NAME
    draft = data_dir / f".{NAME}.{serving.pid}"
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(asdict(serving), out)
    draft.replace(path)
    try:
        yield serving
    finally:
        if found(data_dir) == serving:
            path.unlink(missing_ok=True)
