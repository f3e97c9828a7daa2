"""Ingestion of one-page documents against the plain LlamaIndex pipeline: same files, model and machine, one run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench.processes import side
from bench.texts import write_pages

DOCUMENTS = 2000


def run(documents: int = DOCUMENTS) -> dict[str, Any]:
    """Ratios of documents per second, of the second sync to the first, and chunk counts of both sides."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        files = Path(folder) / "files"
        write_pages(files, documents)
        peer = side("llamaindex_ingest", str(files), str(Path(folder) / "peer"))
        ours = side("ambit_ingest", str(files), str(Path(folder) / "ambit"))
    return {
        "documents": documents,
        "docs_per_s": round(documents / ours["seconds"], 2),
        "docs_per_s_llamaindex": round(documents / peer["seconds"], 2),
        "docs_per_s_llamaindex_without_store": round(documents / (peer["seconds"] - peer["store_s"]), 2),
        "ratio_vs_llamaindex": round(peer["seconds"] / ours["seconds"], 3),
        "ratio_vs_llamaindex_without_either_store": round(
            (peer["seconds"] - peer["store_s"]) / (ours["seconds"] - ours["store_s"]), 3
        ),
        "resync_ratio": round(ours["seconds"] / ours["resync_s"], 1),
        "resync_s": round(ours["resync_s"], 3),
        "chunks": ours["chunks"],
        "chunks_llamaindex": peer["chunks"],
        "store_s": round(ours["store_s"], 2),
        "store_s_llamaindex": round(peer["store_s"], 2),
        "peak_mb": ours["peak_mb"],
        "peak_mb_llamaindex": peer["peak_mb"],
    }
