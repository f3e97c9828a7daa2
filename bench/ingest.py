"""Ingestion: against the plain LlamaIndex pipeline, against the encoder alone, of what did not change, of one edit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench.processes import side
from bench.texts import write_manuals, write_pages

DOCUMENTS = 1000
FILES, WORDS = 10_000, 150
MANUALS, SECTIONS = 100, 7
EDITED_SECTIONS = 150


def run(documents: int = DOCUMENTS, files: int = FILES, manuals: int = MANUALS) -> dict[str, Any]:
    """Figures of all four parts, each side in a process of its own, on the same machine in one run."""
    return {**against_llamaindex(documents), **against_encoder(manuals), **unchanged(files)}


def against_llamaindex(documents: int) -> dict[str, Any]:
    """One-page documents: ratios of documents per second, and chunk counts of both sides."""
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
        "chunks": ours["chunks"],
        "chunks_llamaindex": peer["chunks"],
        "store_s": round(ours["store_s"], 2),
        "store_s_llamaindex": round(peer["store_s"], 2),
        "peak_mb": ours["peak_mb"],
        "peak_mb_llamaindex": peer["peak_mb"],
    }


def against_encoder(manuals: int, edited_sections: int = EDITED_SECTIONS) -> dict[str, Any]:
    """Markdown documents of more than 20 chunks: the share of the encoder's speed that is left end to end; one edit."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        write_manuals(Path(folder) / "long", manuals, sections=SECTIONS)
        write_manuals(Path(folder) / "edited", 1, sections=edited_sections, seed=9)
        found = side("ambit_long", str(Path(folder) / "long"), str(Path(folder) / "edited"), str(Path(folder) / "data"))
    return {
        "share_of_encoder": round(found["encoder_s"] / found["seconds"], 3),
        "share_of_encoder_chunks_per_s": round(found["chunks"] / found["seconds"], 2),
        "share_of_encoder_chunks_per_document": round(found["chunks"] / manuals, 1),
        "edit_document_chunks": found["document_chunks"],
        "edit_chunks_embedded": found["embedded"],
        "edit_answerable_s": round(found["answerable_s"], 3),
    }


def unchanged(files: int) -> dict[str, Any]:
    """A second sync of files that did not change."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        write_pages(Path(folder) / "files", files, words=WORDS)
        found = side("ambit_resync", str(Path(folder) / "files"), str(Path(folder) / "data"))
    return {
        "resync_files": files,
        "resync_first_s": round(found["first_s"], 1),
        "resync_s": round(found["again_s"], 3),
        "resync_ratio": round(found["first_s"] / found["again_s"], 1),
        "resync_item_rows": found["items_of_second"],
    }
