"""Fair dispatch: a source of 20 documents registered beside a sync of 20,000 is done before 5 % of that is."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench.processes import side
from bench.texts import write_pages

BIG, SMALL = 20_000, 20


def run(big: int = BIG, small: int = SMALL) -> dict[str, Any]:
    """`big_share_done` is the part of the large source that was done when the small one was."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        write_pages(Path(folder) / "big", big)
        write_pages(Path(folder) / "small", small, seed=8)
        found = side(
            "ambit_fairness", str(Path(folder) / "big"), str(Path(folder) / "small"), str(Path(folder) / "data")
        )
    return {
        "documents": [big, small],
        "big_share_done": round(found["big_done"] / big, 4),
        "big_listed": found["big_listed"],
        "small_s": round(found["small_s"], 2),
        "small_state": found["small_state"],
    }
