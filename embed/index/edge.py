"""The embedded vector index: Qdrant's engine in this process, one shard a collection.

The engine holds the interpreter's lock during every call, so writes go in small batches and nothing is ever optimised
here: up to about 100,000 chunks an exact search needs no graph. Only a flush reaches the disk, so every write ends
in one.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embed.index.base import (
    CollectionSpec,
    Hit,
    IndexUnavailableError,
    Payload,
    Point,
    SearchRequest,
)
from embed.index.edge_query import edge_filter, edge_request, to_hits
from embed.index.filters import Restriction, restrict, tenant_clause
from embed.index.lock import FolderLock
from embed.index.points import (
    DENSE,
    INTEGER_KEYS,
    SPARSE,
    batches,
    check_acl,
    check_ids,
    check_name,
    check_points,
    check_spec,
    payload_from_json,
    payload_to_json,
)
from embed.index.standing import read_dimension, write_dimension

if TYPE_CHECKING:
    import qdrant_edge

    from policies.scope import ReadScope

BATCH = 250


class EdgeIndex:
    """The `VectorIndex` protocol over `qdrant_edge`, for one process at a time.

    The folder is locked from first use to `close`.

    Args:
        path: folder of all collections; made at first use.
        durable: whether a write returns only when it is on the disk.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path = path
        self._durable = durable
        self._lock = threading.RLock()
        self._folder = FolderLock(path / ".lock")
        self._open: dict[str, _Collection] = {}

    def ensure(self, spec: CollectionSpec) -> None:
        """Creates the collection with its payload indexes unless it stands."""
        folder = self._path / check_name(spec.name)
        with self._lock:
            self._folder.acquire()
            standing = read_dimension(folder)
            if standing is None:
                shutil.rmtree(folder, ignore_errors=True)
                self._open[spec.name] = _create(folder, spec.dimension, self._durable)
                write_dimension(folder, spec.dimension)
            else:
                check_spec(spec, standing)
                self._collection(spec.name)

    def drop(self, collection: str) -> None:
        """Removes the collection and its files."""
        folder = self._path / check_name(collection)
        with self._lock:
            self._folder.acquire()
            opened = self._open.pop(collection, None)
            if opened is not None:
                opened.close()
            if folder.exists():
                write_dimension(folder, None)
                shutil.rmtree(folder)

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Stores points; all are checked before any is written."""
        import qdrant_edge as engine

        target = self._collection(collection)
        check_points(points, target.dimension)
        target.write(
            engine.UpdateOperation.upsert_points([_edge_point(point) for point in batch])
            for batch in batches(points, BATCH)
        )

    def place(self, collection: str, ids: Sequence[str], acl: int) -> None:
        """Moves points to another access node."""
        self._set(collection, ids, {"acl": check_acl(acl)})

    def describe(self, collection: str, ids: Sequence[str], facets: Sequence[int], modified: int) -> None:
        """Replaces the facets and time of points."""
        self._set(collection, ids, {"facets": list(facets), "modified": modified})

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Removes points by explicit id."""
        import qdrant_edge as engine

        checked = check_ids(ids)
        self._collection(collection).write(
            engine.UpdateOperation.delete_points(list(batch)) for batch in batches(checked, BATCH)
        )

    def search(self, collection: str, request: SearchRequest, scope: ReadScope) -> list[Hit]:
        """The best hits that scope and filters allow; the engine is not asked where nothing can match."""
        restriction = restrict(scope, request.filters)
        return [] if restriction is None else self.search_many(collection, [(request, restriction)])[0]

    def search_many(self, collection: str, asked: Sequence[tuple[SearchRequest, Restriction]]) -> list[list[Hit]]:
        """As `search`, for several at once: the engine reads the vectors once for those that ask next to each other.

        It does so only for searches of the same kind, so every second one names its legs the other way round.
        """
        import qdrant_edge as engine

        shard = self._collection(collection).shard
        queries = [edge_request(*one, backwards=place % 2 == 1) for place, one in enumerate(asked)]
        wanted = [query for query in queries if query is not None]
        if not wanted:
            return [[] for _ in asked]
        with _engine_errors():
            found = iter(shard.query_batch(engine.QueryBatchRequest(wanted)))
        return [
            [] if query is None else to_hits(next(found))[: request.limit]
            for query, (request, _) in zip(queries, asked, strict=True)
        ]

    def existing(self, collection: str, ids: Sequence[str]) -> set[str]:
        """Those of `ids` that the collection holds."""
        shard = self._collection(collection).shard
        found: set[str] = set()
        for batch in batches(check_ids(ids), BATCH):
            with _engine_errors():
                found |= {str(one.id) for one in shard.retrieve(list(batch), with_payload=False, with_vector=False)}
        return found

    def count(self, collection: str, tenant: int | None = None) -> int:
        """Points of the collection or of one tenant in it."""
        import qdrant_edge as engine

        only = None if tenant is None else edge_filter((tenant_clause(tenant),))
        shard = self._collection(collection).shard
        with _engine_errors():
            return shard.count(engine.CountRequest(exact=True, filter=only))

    def scan(self, collection: str) -> Iterator[tuple[str, Payload]]:
        """Every point's id and payload, read in pages."""
        offset: str | None = None
        while True:
            page, offset = self.page(collection, offset)
            yield from page
            if offset is None:
                return

    def page(self, collection: str, offset: str | None) -> tuple[list[tuple[str, Payload]], str | None]:
        """Some points from `offset` on (None: from the first), and where the next ones begin (None: nowhere)."""
        import qdrant_edge as engine

        shard = self._collection(collection).shard
        with _engine_errors():
            request = engine.ScrollRequest(offset=offset, limit=BATCH, with_payload=True)
            records, following = shard.scroll(request)
        found = [(str(record.id), payload_from_json(record.payload or {})) for record in records]
        return found, None if following is None else str(following)

    def close(self) -> None:
        """Flushes and closes every collection and gives the folder back; the next use opens it again."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()
            self._folder.release()

    def _set(self, collection: str, ids: Sequence[str], values: dict[str, Any]) -> None:
        """By a filter on the ids, since naming an unknown id directly fails after half the batch is written."""
        import qdrant_edge as engine

        checked = check_ids(ids)
        self._collection(collection).write(
            engine.UpdateOperation.set_payload_by_filter(
                engine.Filter(must=[engine.HasIdCondition(set(batch))]), values
            )
            for batch in batches(checked, BATCH)
        )

    def _collection(self, name: str) -> _Collection:
        with self._lock:
            if name not in self._open:
                self._folder.acquire()
                dimension = read_dimension(self._path / check_name(name))
                if dimension is None:
                    raise IndexUnavailableError(f"the index in {self._path} has no collection {name!r}")
                self._open[name] = _load(self._path / name, dimension, self._durable)
            return self._open[name]


class _Collection:
    """One open shard. Writers take turns; one flush serves every write made before it."""

    def __init__(self, shard: qdrant_edge.EdgeShard, dimension: int, durable: bool) -> None:
        self.shard = shard
        self.dimension = dimension
        self._durable = durable
        self._flushing = threading.Lock()
        self._counting = threading.Lock()
        self._written = 0
        self._flushed = 0

    def write(self, operations: Iterator[qdrant_edge.UpdateOperation]) -> None:
        """Applies the operations in order and flushes."""
        with _engine_errors():
            for operation in operations:
                self.shard.update(operation)
            with self._counting:
                self._written += 1
                mine = self._written
            if self._durable:
                self._flush(mine)

    def close(self) -> None:
        """Flushes and releases the shard."""
        with _engine_errors():
            self.shard.close()

    def _flush(self, mine: int) -> None:
        with self._flushing:
            if self._flushed < mine:
                with self._counting:
                    covered = self._written
                self.shard.flush()
                self._flushed = covered


@contextmanager
def _engine_errors() -> Iterator[None]:
    """The engine raises bare `Exception`; anything more specific is a fault of ours and passes."""
    try:
        yield
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise IndexUnavailableError(f"the vector engine failed: {error}") from error


def _create(folder: Path, dimension: int, durable: bool) -> _Collection:
    import qdrant_edge as engine

    shard_folder = folder / "shard"
    shard_folder.mkdir(parents=True)
    config = engine.EdgeConfig(
        vectors={DENSE: engine.EdgeVectorParams(size=dimension, distance=engine.Distance.Cosine)},
        quantization_config=engine.TurboQuantQuantizationConfig(bits=engine.TurboQuantBitSize.Bits8),
        hnsw_config=engine.HnswIndexConfig(m=0, ef_construct=16, full_scan_threshold=1),
        sparse_vectors={SPARSE: engine.EdgeSparseVectorParams(modifier=engine.Modifier.Idf)},
    )
    with _engine_errors():
        shard = engine.EdgeShard.create(str(shard_folder), config)
        for key in INTEGER_KEYS:
            params = engine.IntegerIndexParams(lookup=key != "modified", range=key == "modified")
            shard.update(engine.UpdateOperation.create_field_index(key, params))
        shard.flush()
    return _Collection(shard, dimension, durable)


def _load(folder: Path, dimension: int, durable: bool) -> _Collection:
    import qdrant_edge as engine

    with _engine_errors():
        return _Collection(engine.EdgeShard.load(str(folder / "shard")), dimension, durable)


def _edge_point(point: Point) -> qdrant_edge.Point:
    import qdrant_edge as engine

    vectors: dict[str, Any] = {DENSE: point.dense.tolist()}
    if point.sparse.indices:
        vectors[SPARSE] = engine.SparseVector(list(point.sparse.indices), list(point.sparse.values))
    return engine.Point(point.id, vectors, payload_to_json(point.payload))
