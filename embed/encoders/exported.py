"""Exported models on disk: made once, checked at each use, made again where they are damaged."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from core.errors import SettingError
from embed.encoders.files import ModelFiles

GRAPH: Final = "model.xml"
BINARY: Final = "model.bin"
_SEAL = "export.json"
_FORMAT = 1
"""Raised when the way of exporting changes, so that what an earlier version exported is not used."""

_TIMEOUT_S = 900
_ROOT = Path(__file__).resolve().parents[2]


def exported_model(files: ModelFiles, cache: Path) -> tuple[Path, str]:
    """Folder of the exported model and the precision of its weights (`int8` or `fp16`); exports it where it must.

    Of several processes at once, one exports and the others wait.

    Raises:
        SettingError: it cannot be exported; the message says why.
        OSError: the cache cannot be written.
    """
    folder = cache / _folder_name(files)
    weights = sealed(folder)
    if weights is None:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / ".lock"):
            weights = sealed(folder) or _make(files, folder)
    return folder, weights


def seal(folder: Path, *, weights: str, cosine: float) -> None:
    """Notes what the files hold, as the last step of an export."""
    digests = {name: _digest(folder / name) for name in (GRAPH, BINARY)}
    body = {"format": _FORMAT, "weights": weights, "cosine": round(cosine, 5), "files": digests}
    (folder / _SEAL).write_text(json.dumps(body), "utf-8")


def sealed(folder: Path) -> str | None:
    """Precision of the weights of a complete, undamaged export; None: there is none."""
    try:
        told: dict[str, Any] = json.loads((folder / _SEAL).read_text("utf-8"))
        whole = told["format"] == _FORMAT and all(
            _digest(folder / one) == told["files"][one] for one in (GRAPH, BINARY)
        )
        return str(told["weights"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _folder_name(files: ModelFiles) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", files.name)[:80]
    return f"{plain}-{files.fingerprint()}-{_FORMAT}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _make(files: ModelFiles, folder: Path) -> str:
    """Exports into a folder beside, then renames: nobody sees half of it."""
    shutil.rmtree(folder, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        _run(files, draft)
        weights = sealed(draft)
        if weights is None:
            raise SettingError(
                f"encoder {files.name!r}: what was exported for OpenVINO is not whole; is the disk full?"
            )
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return weights


def _run(files: ModelFiles, draft: Path) -> None:
    command = [sys.executable, "-m", "embed.encoders.export", str(files.folder), files.name, str(draft)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    try:
        done = subprocess.run(  # noqa: S603 - our own module, by this interpreter
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, cwd=draft
        )
    except subprocess.TimeoutExpired:
        raise SettingError(f"encoder {files.name!r}: exporting it for OpenVINO took over {_TIMEOUT_S} s") from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1][:300]
        raise SettingError(
            f"encoder {files.name!r} cannot be exported for OpenVINO ({reason}); set encoder_backend to torch"
        )


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Waits for the other processes that export into this cache."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
