"""The vector index protocol: points in, hits under a scope out.

What goes to and fro by the thousand are named tuples: between processes they cost a fifth of what dataclasses do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from core.errors import AmbitError, UnavailableError
from embed.encoders.base import Vectors

if TYPE_CHECKING:
    from policies.scope import ReadScope


class PointRefusedError(AmbitError):
    """A point that must not be stored: no access node, a wrong dimension, or a vector that is not finite."""

    code = "point_refused"
    title = "Point refused"


class IndexUnavailableError(UnavailableError):
    """The vector index does not answer."""

    code = "index_unavailable"
    title = "Vector index unavailable"


class SparseVector(NamedTuple):
    """BM25 weights of a text's terms: parallel term ids (ascending, unsigned 32 bit) and values."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


class Payload(NamedTuple):
    """What a point carries: integers alone.

    Attributes:
        acl: id of the document's access node; at least 1.
        facets: ids of the interned facet values, ascending.
        modified: the document's last change in whole seconds since 1970; 0: unknown.
    """

    tenant: int
    source: int
    document: int
    chunk: int
    acl: int
    facets: tuple[int, ...] = ()
    modified: int = 0


class Point(NamedTuple):
    """One chunk in one generation. `dense` has shape (dimension,), float32, length 1."""

    id: str
    dense: Vectors
    sparse: SparseVector
    payload: Payload


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """Name and shape of a collection: dense vectors of `dimension` under cosine, sparse ones with IDF by the engine."""

    name: str
    dimension: int


class Filters(NamedTuple):
    """What a caller narrows a search to; every part that is given must hold.

    Attributes:
        sources: any of these sources; None: no such limit (the scope's own limit always holds).
        facets: for each group, any of its facet ids; an empty group matches nothing.
        nodes: at any of these access nodes; None: no such limit (the scope's own limit always holds).
        modified_from, modified_until: half-open bounds in seconds since 1970.
    """

    sources: tuple[int, ...] | None = None
    facets: tuple[tuple[int, ...], ...] = ()
    nodes: tuple[int, ...] | None = None
    modified_from: int | None = None
    modified_until: int | None = None


class Fusion(NamedTuple):
    """How the hits of both legs become one list.

    Attributes:
        method: `dbsf`: by their scores, each leg's brought to one scale by their distribution; `rrf`: by their ranks.
        k: how slowly the worth of a rank falls; of `rrf` alone.
        weights: what a rank of the dense and of the sparse leg counts; of `rrf` alone.
    """

    method: Literal["dbsf", "rrf"] = "dbsf"
    k: int = 10
    weights: tuple[float, float] = (1.0, 1.0)


class SearchRequest(NamedTuple):
    """A hybrid search: dense and sparse legs of `candidates` each, fused by the engine into `limit` hits.

    With `sparse` empty the dense leg alone is searched, and the other way round with `dense` None.
    """

    dense: Vectors | None
    sparse: SparseVector | None
    limit: int
    candidates: int = 100
    filters: Filters = Filters()
    fusion: Fusion = Fusion()


class Hit(NamedTuple):
    """One point found; `score` is the fusion's, higher is better."""

    id: str
    score: float
    chunk: int
    document: int
    acl: int


class VectorIndex(Protocol):
    """Holds the points of every generation. Thread-safe. A write has reached the disk when it returns.

    Every search takes a `ReadScope`; an empty scope finds nothing; filters only narrow.

    Raises (all methods):
        IndexUnavailableError: the engine does not answer or is held by another process.
    """

    def ensure(self, spec: CollectionSpec) -> None:
        """Creates the collection with its payload indexes unless it stands; refuses another dimension."""
        ...

    def drop(self, collection: str) -> None:
        """Removes a collection, if it stands."""
        ...

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Stores points, replacing those of the same id.

        Raises:
            PointRefusedError: before anything is written, when one of them may not be stored.
        """
        ...

    def place(self, collection: str, ids: Sequence[str], *, acl: int) -> None:
        """Moves points to another access node; no vector is written. Unknown ids are passed over."""
        ...

    def describe(self, collection: str, ids: Sequence[str], *, facets: Sequence[int], modified: int) -> None:
        """Replaces the facets and time of points; no vector is written."""
        ...

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Removes points by explicit id; unknown ids are passed over."""
        ...

    def search(self, collection: str, request: SearchRequest, scope: ReadScope) -> list[Hit]:
        """The best hits that the scope and the filters allow, best first; equal scores in id order."""
        ...

    def existing(self, collection: str, ids: Sequence[str]) -> set[str]:
        """Those of `ids` that the collection holds."""
        ...

    def count(self, collection: str, *, tenant: int | None = None) -> int:
        """Points of a collection, or of one tenant in it; exact."""
        ...

    def scan(self, collection: str) -> Iterator[tuple[str, Payload]]:
        """Every point's id and payload, in no order."""
        ...

    def close(self) -> None:
        """Flushes and releases the engine."""
        ...
