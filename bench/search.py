"""Search latency and recall of the embedded index by size and by what share of it the caller may read.

The reference is an exact search in memory over the same vectors, so recall below 1 is neighbours that filtering lost.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.runtime import Runtime
from bench import corpora
from core.settings import Settings
from embed.index.base import SearchRequest
from embed.sparse import SparseEncoder
from policies.scope import ReadScope, ScopeCache, readable
from policies.subject import Caller, resolve_subject

SIZES = (10_000, 100_000, 300_000)
READERS = {1: "reader-1", 10: "reader-10", 50: "reader-50", 100: "staff"}
QUERIES = 100
TOP = 10


def run(sizes: tuple[int, ...] = SIZES, queries: int = QUERIES) -> dict[str, Any]:
    """By size and visible share (per cent): p50 and p95 in ms of a hybrid search, and recall@10 of the dense leg."""
    return {str(size): _size(size, queries) for size in sizes}


def _size(size: int, queries: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        runtime = Runtime(Settings(data_dir=Path(folder), log_level="error"))
        try:
            tenant = runtime.prepare()
            began = time.perf_counter()
            kept = corpora.build(runtime, tenant, size)
            built = time.perf_counter() - began
            shares = {f"{share}%": _share(runtime, tenant, user, kept, queries) for share, user in READERS.items()}
        finally:
            runtime.close()
    return {"build_s": round(built, 1), **shares}


def _share(runtime: Runtime, tenant: int, user: str, kept: corpora.Kept, queries: int) -> dict[str, float]:
    generation = runtime.stack.generation()
    sparse = SparseEncoder(generation.sparse)
    scope = _scope(runtime, tenant, user)
    visible = np.isin(kept.nodes, scope.nodes, invert=scope.complement)
    probes = corpora.unit_vectors(np.random.default_rng(3), queries, generation.dimension)
    took, recalls = [], []
    for probe, text in zip(probes, corpora.queries(queries), strict=True):
        request = SearchRequest(probe, sparse.encode_query(text), TOP)
        began = time.perf_counter()
        runtime.stack.index.search(generation.collection, request, scope)
        took.append((time.perf_counter() - began) * 1000)
        dense = runtime.stack.index.search(generation.collection, SearchRequest(probe, None, TOP), scope)
        recalls.append(_recall({hit.chunk for hit in dense}, probe, kept, visible))
    return {
        "visible": int(visible.sum()),
        "p50_ms": round(float(np.percentile(took, 50)), 2),
        "p95_ms": round(float(np.percentile(took, 95)), 2),
        "recall10": round(float(np.mean(recalls)), 4),
    }


def _scope(runtime: Runtime, tenant: int, user: str) -> ReadScope:
    with runtime.db.read() as session:
        return readable(session, resolve_subject(session, Caller(tenant, user)), ScopeCache())


def _recall(found: set[int], probe: NDArray[np.float32], kept: corpora.Kept, visible: NDArray[np.bool_]) -> float:
    """Share of the visible chunks truly nearest to the probe that were found."""
    scores = np.where(visible, kept.vectors @ probe, -np.inf)
    wanted = {int(kept.chunks[place]) for place in np.argsort(-scores)[: min(TOP, int(visible.sum()))]}
    return len(found & wanted) / max(len(wanted), 1)
