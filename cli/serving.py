"""`serve.json`: how other commands find the `ambit serve` that runs on this data folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import ConflictError

NAME = "serve.json"
LOCK = "serve.lock"
LOCAL_PREFIX = "/local"


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server: its process, its address, and the token that proves a caller may read this folder.

    Attributes:
        works: whether its own threads do the work that waits in SQL.
    """

    pid: int
    url: str
    token: str
    works: bool = True


def found(data_dir: Path) -> Serving | None:
    """The server of this folder; None where none runs.

    A server holds a lock, which the system frees however it ends: what a killed one left behind counts as none, and
    so does another process that came to its number.
    """
    try:
        told = json.loads((data_dir / NAME).read_text("utf-8"))
        serving = Serving(int(told["pid"]), str(told["url"]), str(told["token"]), bool(told["works"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return serving if serving.token and _locked(data_dir / LOCK) else None


def _locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextlib.contextmanager
def announced(data_dir: Path, url: str, *, works: bool, alone: bool) -> Iterator[Serving]:
    """Writes the file, readable by its owner alone, and removes it at the end.

    Args:
        works: whether this process does the work that waits.
        alone: whether there may be only one server on the folder; where not, a second one goes unannounced.

    Raises:
        ConflictError: there is one, and there may be only one.
    """
    serving = Serving(os.getpid(), url, secrets.token_urlsafe(32), works)
    handle = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _acquire(handle):
            if alone:
                other = found(data_dir)
                where = f" at {other.url} (pid {other.pid})" if other else ""
                raise ConflictError(f"`ambit serve` already runs on {data_dir}{where}; use it, or stop it first")
            yield serving
            return
        _write(data_dir, serving)
        try:
            yield serving
        finally:
            (data_dir / NAME).unlink(missing_ok=True)
    finally:
        os.close(handle)


def _acquire(handle: int, patience_s: float = 1.0) -> bool:
    """Takes the lock. Whoever only looks holds it for a moment, so one refusal says little."""
    ends = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > ends:
                return False
            time.sleep(0.02)
        else:
            return True


def _write(data_dir: Path, serving: Serving) -> None:
    draft = data_dir / f".{NAME}"
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(asdict(serving), out)
    draft.replace(data_dir / NAME)
