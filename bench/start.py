"""From a fresh clone to answers: set-up, the demo the first time and again; and the server from cold, and idle."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import cold_start
from bench.processes import timed

ROOT = Path(__file__).parents[1]


def run() -> dict[str, Any]:
    """Seconds and MiB. The first time includes making the virtual environment from packages already downloaded."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        clone = Path(folder) / "ambit"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        began = time.perf_counter()
        install = timed(["make", ".venv/.stamp-run"], cwd=clone)
        first = timed(["make", "demo"], cwd=clone)
        both = time.perf_counter() - began
        again = timed(["make", "demo"], cwd=clone)
    return {
        "install_s": round(install.seconds, 1),
        "demo_first_s": round(both, 1),
        "demo_again_s": round(again.seconds, 1),
        "demo_peak_mb": round(max(first.peak_mb, again.peak_mb)),
        **cold_start.measured(),
    }
