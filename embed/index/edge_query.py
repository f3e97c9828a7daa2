"""Searches in the embedded engine's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from embed.index.base import Fusion, Hit, SearchRequest
from embed.index.filters import AnyOf, Restriction, Within, tenant_clause
from embed.index.points import DENSE, SPARSE

if TYPE_CHECKING:
    import qdrant_edge

_RETURNED = ["chunk", "document", "acl"]


OVERSAMPLING = 1.5
"""Candidates by the vectors of 8 bits, for each that is asked for, whose exact scores decide."""


def edge_request(
    request: SearchRequest, restriction: Restriction, *, backwards: bool = False
) -> qdrant_edge.QueryRequest | None:
    """The engine's request; None where neither leg has anything to search for. `backwards`: the terms' leg is first.

    Each leg carries the whole filter, and nothing but what they found can be fused: said again there, the engine would
    work it out again. More than `limit` is asked for, so that the engine does not decide which of several equal scores
    are kept.
    """
    import qdrant_edge as engine

    only = edge_filter(restriction.must, restriction.must_not)
    legs = _legs(request, restriction)
    if not legs or request.limit < 1:
        return None
    size = request.limit + request.candidates
    if len(legs) == 1:
        query, params = legs[0]
        return engine.QueryRequest(limit=size, query=query, filter=only, params=params, with_payload=_RETURNED)
    depth = max(request.limit, request.candidates)
    prefetches = [engine.Prefetch(depth, query=query, filter=only, params=params) for query, params in legs]
    weights = list(request.fusion.weights)
    if backwards:
        prefetches.reverse()
        weights.reverse()
    query = _fusing(request.fusion, weights)
    return engine.QueryRequest(limit=size, query=query, prefetches=prefetches, with_payload=_RETURNED)


def _fusing(fusion: Fusion, weights: list[float]) -> Any:
    """The engine's fusion, which the library's stubs do not know as a query; `weights` in the order of the legs."""
    import qdrant_edge as engine

    return engine.Fusion.Dbsf() if fusion.method == "dbsf" else engine.Fusion.Rrf(k=fusion.k, weights=weights)


def edge_filter(must: Sequence[AnyOf | Within], must_not: Sequence[AnyOf] = ()) -> qdrant_edge.Filter:
    """The engine's filter.

    Raises:
        ValueError: `must` is empty, which would match everything.
    """
    import qdrant_edge as engine

    if not must:
        raise ValueError("a filter without conditions matches everything")
    return engine.Filter(
        must=[_condition(clause) for clause in must], must_not=[_condition(clause) for clause in must_not] or None
    )


def to_hits(found: Iterable[qdrant_edge.ScoredPoint]) -> list[Hit]:
    """Hits best first, equal scores in id order."""
    hits = [_hit(str(point.id), point.score, point.payload or {}) for point in found]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def _legs(request: SearchRequest, restriction: Restriction) -> list[tuple[qdrant_edge.Query, qdrant_edge.SearchParams]]:
    """Dense and sparse; term statistics are the tenant's alone, so that no other tenant's texts show in scores."""
    import qdrant_edge as engine

    legs = []
    if request.dense is not None:
        query = engine.Query.Nearest(request.dense.tolist(), using=DENSE)
        codes = engine.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        legs.append((query, engine.SearchParams(exact=False, quantization=codes)))
    if request.sparse is not None and request.sparse.indices:
        terms = engine.SparseVector(list(request.sparse.indices), list(request.sparse.values))
        idf = engine.IdfParams(corpus=edge_filter((tenant_clause(restriction.tenant),)))
        legs.append((engine.Query.Nearest(terms, using=SPARSE), engine.SearchParams(exact=True, idf=idf)))
    return legs


def _condition(clause: AnyOf | Within) -> qdrant_edge.FieldCondition:
    import qdrant_edge as engine

    if isinstance(clause, Within):
        high = None if clause.high is None else float(clause.high)
        return engine.FieldCondition(clause.key, range=engine.RangeFloat(gte=float(clause.low), lt=high))
    if len(clause.values) == 1:
        return engine.FieldCondition(clause.key, match=engine.MatchValue(clause.values[0]))
    return engine.FieldCondition(clause.key, match=engine.MatchAny(list(clause.values)))


def _hit(identity: str, score: float, payload: dict[str, Any]) -> Hit:
    return Hit(
        id=identity,
        score=score,
        chunk=int(payload["chunk"]),
        document=int(payload["document"]),
        acl=int(payload["acl"]),
    )
