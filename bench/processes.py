"""Running one side of a benchmark in a process of its own, its memory with that of its children."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class Finished:
    """How a process ended, in seconds and MiB (proportional set size of the whole tree at its peak)."""

    seconds: float
    peak_mb: float
    output: str


def timed(command: Sequence[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> Finished:
    """Runs a command to its end; raises with its output where it fails."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        watch = _Watch(process.pid)
        output, _ = process.communicate()
        seconds = time.perf_counter() - began
        watch.stop()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output[-4000:]}")
    return Finished(seconds=seconds, peak_mb=watch.peak_mb, output=output)


def side(module: str, *arguments: str) -> dict[str, Any]:
    """Runs `python -m bench.sides.MODULE` and reads the JSON of its last line."""
    done = timed([sys.executable, "-m", f"bench.sides.{module}", *arguments])
    result: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return {**result, "peak_mb": round(done.peak_mb)}


class _Watch:
    """Looks at a process tree twice a second."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            self.peak_mb = max(self.peak_mb, tree_mb(self._pid))


def tree_mb(pid: int) -> float:
    """MiB (proportional set size) of a process and all below it; 0: it is gone."""
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for one in tree:
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total / 2**20
