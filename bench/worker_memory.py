"""Memory of a worker from document 1,000 to document 20,000 of one sync; flat, whatever it has taken in."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench.processes import side
from bench.texts import write_pages

FIRST, LAST = 1000, 20_000
WORDS = 12


def run(first: int = FIRST, last: int = LAST) -> dict[str, Any]:
    """`growth` is memory at the last mark over that at the first, less 1; the index has a process of its own."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        files = Path(folder) / "files"
        write_pages(files, last, words=WORDS)
        found = side("ambit_memory", str(files), str(Path(folder) / "data"), str(first), str(last))
    before, after = found["at_first"], found["at_last"]
    return {
        "documents": [first, last],
        "growth": round(after["own_mb"] / before["own_mb"] - 1, 4),
        "own_mb_at_first": round(before["own_mb"], 1),
        "own_mb_at_last": round(after["own_mb"], 1),
        "resident_mb_at_first": round(before["resident_mb"], 1),
        "resident_mb_at_last": round(after["resident_mb"], 1),
        "seconds": round(found["seconds"], 1),
        "peak_mb": found["peak_mb"],
    }
