"""Filtered search against brute force: how many of the true best twenty a person finds, by how much they may read."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from core.ids import chunk_hash, point_id
from embed.encoders.base import Vectors
from embed.index.base import CollectionSpec, Payload, Point, SearchRequest, SparseVector
from embed.index.edge import EdgeIndex
from policies.scope import _MAKER, ReadScope

VECTORS, DIMENSION, QUERIES, TOP = 300_000, 384, 30, 20
BANDS = (0.1, 1.0, 5.0, 13.0, 25.0, 50.0, 100.0)
NODES = 2000
_BATCH = 5000
_COLLECTION = "recall"


def run(vectors: int = VECTORS, queries: int = QUERIES) -> dict[str, Any]:
    """Recall@20 and milliseconds at the median in each band, with access by folder and at random."""
    chance = np.random.default_rng(11)
    data, folders = _texts(vectors, chance)
    asked = _near(data[chance.integers(0, vectors, queries)], chance)
    bands: dict[str, Any] = {}
    for name, nodes in (("by_folder", folders), ("at_random", chance.integers(1, NODES + 1, vectors))):
        with tempfile.TemporaryDirectory(prefix="ambit-bench-") as path:
            bands[name] = _bands(Path(path), data, nodes, asked)
        print(f"{name}: {bands[name]}", flush=True)
    return {
        "vectors": vectors,
        "dimension": DIMENSION,
        "queries": queries,
        "min_recall": min(band["recall"] for each in bands.values() for band in each.values()),
        "bands": bands,
    }


def _texts(count: int, chance: np.random.Generator) -> tuple[Vectors, Any]:
    """Vectors in clusters, as texts about the same thing are, and for each the folder: its cluster."""
    centres = _unit(chance.standard_normal((NODES, DIMENSION), dtype=np.float32))
    folders = chance.integers(0, NODES, count)
    data = np.empty((count, DIMENSION), np.float32)
    for start in range(0, count, _BATCH):
        part = folders[start : start + _BATCH]
        noise = chance.standard_normal((len(part), DIMENSION), dtype=np.float32) * 0.06
        data[start : start + _BATCH] = _unit(centres[part] + noise)
    return data, folders + 1


def _near(chosen: Vectors, chance: np.random.Generator) -> Vectors:
    """Queries: something close to a text that is there."""
    return _unit(chosen + chance.standard_normal(chosen.shape, dtype=np.float32) * 0.03)


def _unit(rows: Any) -> Vectors:
    unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _bands(folder: Path, data: Vectors, nodes: Any, asked: Vectors) -> dict[str, Any]:
    index = EdgeIndex(folder / "index")
    index.ensure(CollectionSpec(_COLLECTION, DIMENSION))
    for start in range(0, len(data), _BATCH):
        index.upsert(_COLLECTION, _points(data, nodes, start))
    everything = _scope(range(1, NODES + 1), 100.0)
    order = np.random.default_rng(3).permutation(NODES) + 1
    found = {f"{band:g}": _band(index, data, nodes, asked, order=order, band=band) for band in BANDS}
    for band in found.values():
        band["unfiltered_ms"] = round(_median_ms(index, asked, everything), 3)
    index.close()
    return found


def _points(data: Vectors, nodes: Any, start: int) -> list[Point]:
    rows = range(start, min(start + _BATCH, len(data)))
    return [
        Point(
            point_id(1, row + 1, chunk_hash(str(row)), 0),
            data[row],
            SparseVector((), ()),
            Payload(tenant=1, source=1, document=row + 1, chunk=row + 1, acl=int(nodes[row])),
        )
        for row in rows
    ]


def _band(index: EdgeIndex, data: Vectors, nodes: Any, asked: Vectors, *, order: Any, band: float) -> dict[str, Any]:
    """One share of the places is readable: the first so many of a fixed order."""
    readable = order[: max(1, round(NODES * band / 100))]
    visible = np.flatnonzero(np.isin(nodes, readable))
    scope = _scope((int(one) for one in readable), band)
    recalls = []
    for query in asked:
        hits = {hit.chunk for hit in index.search(_COLLECTION, _request(query), scope)}
        truth = _best(data, visible, query)
        recalls.append(len(hits & truth) / max(1, len(truth)))
    return {
        "visible": len(visible),
        "recall": round(statistics.fmean(recalls), 4),
        "ms": round(_median_ms(index, asked, scope), 3),
    }


def _scope(readable: Iterable[int], band: float) -> ReadScope:
    """As `policies.scope.readable` would send it: the complement where that is shorter."""
    nodes = set(readable)
    complement = band > 50
    sent = tuple(sorted(set(range(1, NODES + 1)) - nodes if complement else nodes))
    return ReadScope(_MAKER, tenant=1, nodes=sent, complement=complement, sources=[1], epoch=1)


def _request(query: Vectors) -> SearchRequest:
    return SearchRequest(dense=query, sparse=None, limit=TOP)


def _best(data: Vectors, visible: Any, query: Vectors) -> set[int]:
    scores = data[visible] @ query
    best = np.argsort(-scores, kind="stable")[:TOP]
    return {int(row) + 1 for row in visible[best]}


def _median_ms(index: EdgeIndex, asked: Vectors, scope: ReadScope) -> float:
    times = []
    for query in asked:
        began = time.perf_counter()
        index.search(_COLLECTION, _request(query), scope)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)
