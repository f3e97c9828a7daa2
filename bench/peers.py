"""One-page documents, and questions over them, beside LlamaIndex, Haystack and txtai: same files, model and run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench.processes import side
from bench.texts import write_pages

DOCUMENTS = 1000
PEERS = ("llamaindex", "haystack", "txtai")


def run(documents: int = DOCUMENTS) -> dict[str, Any]:
    """Documents a second, peak memory, chunks, and the median time of a question of each side."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        files = Path(folder) / "files"
        write_pages(files, documents)
        found = {name: side(f"{name}_ingest", str(files), str(Path(folder) / name)) for name in ("ambit", *PEERS)}
    figures: dict[str, Any] = {"documents": documents}
    for name, one in found.items():
        ending = "" if name == "ambit" else f"_{name}"
        figures[f"docs_per_s{ending}"] = round(documents / one["seconds"], 2)
        figures |= {f"{key}{ending}": one[key] for key in ("chunks", "peak_mb", "query_ms_p50")}
    ours = found["ambit"]["seconds"]
    return {**figures, **{f"ratio_vs_{name}": round(found[name]["seconds"] / ours, 3) for name in PEERS}}
