"""Searches, points and collections in the words of a Qdrant server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from embed.index.base import Fusion, Hit, Point, SearchRequest
from embed.index.filters import AnyOf, Restriction, Within, tenant_clause
from embed.index.points import DENSE, SPARSE, payload_to_json
from embed.index.server_options import TENANT_KEY

if TYPE_CHECKING:
    from qdrant_client import models

_RETURNED = ["chunk", "document", "acl"]
_EF = 256


def server_query(
    request: SearchRequest,
    restriction: Restriction,
    *,
    exact: bool,
    quantised: models.QuantizationSearchParams | None = None,
) -> dict[str, Any] | None:
    """Arguments of `query_points`; None where neither leg has anything to search for.

    More than `limit` is asked for, so that the engine does not decide which of several equal scores are kept.
    """
    from qdrant_client import models

    only = server_filter(restriction.must, restriction.must_not)
    legs = _legs(request, restriction, exact, quantised)
    if not legs or request.limit < 1:
        return None
    common = {"query_filter": only, "limit": request.limit + request.candidates, "with_payload": _RETURNED}
    if len(legs) == 1:
        query, using, params = legs[0]
        return {**common, "query": query, "using": using, "search_params": params}
    depth = max(request.limit, request.candidates)
    prefetch = [
        models.Prefetch(query=query, using=using, params=params, filter=only, limit=depth)
        for query, using, params in legs
    ]
    return {**common, "prefetch": prefetch, "query": _fusing(request.fusion)}


def _fusing(fusion: Fusion) -> models.FusionQuery | models.RrfQuery:
    """The server's fusion; weights are in the order of the legs."""
    from qdrant_client import models

    if fusion.method == "dbsf":
        return models.FusionQuery(fusion=models.Fusion.DBSF)
    return models.RrfQuery(rrf=models.Rrf(k=fusion.k, weights=list(fusion.weights)))


def server_filter(must: Sequence[AnyOf | Within], must_not: Sequence[AnyOf] = ()) -> models.Filter:
    """The server's filter.

    Raises:
        ValueError: `must` is empty, which would match everything.
    """
    from qdrant_client import models

    if not must:
        raise ValueError("a filter without conditions matches everything")
    return models.Filter(
        must=[_condition(clause) for clause in must], must_not=[_condition(clause) for clause in must_not] or None
    )


def server_point(point: Point) -> models.PointStruct:
    """A point to store; a text without terms has no sparse vector."""
    from qdrant_client import models

    vectors: dict[str, Any] = {DENSE: point.dense.tolist()}
    if point.sparse.indices:
        vectors[SPARSE] = models.SparseVector(indices=list(point.sparse.indices), values=list(point.sparse.values))
    return models.PointStruct(
        id=point.id, vector=vectors, payload={**payload_to_json(point.payload), TENANT_KEY: str(point.payload.tenant)}
    )


def to_hits(found: Iterable[models.ScoredPoint]) -> list[Hit]:
    """Hits best first, equal scores in id order."""
    hits = [_hit(str(point.id), point.score, point.payload or {}) for point in found]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def _legs(
    request: SearchRequest, restriction: Restriction, exact: bool, quantised: models.QuantizationSearchParams | None
) -> list[tuple[Any, str, models.SearchParams]]:
    """Dense and sparse; term statistics are the tenant's alone, so that no other tenant's texts show in scores."""
    from qdrant_client import models

    legs: list[tuple[Any, str, models.SearchParams]] = []
    if request.dense is not None:
        params = models.SearchParams(exact=exact, hnsw_ef=None if exact else _EF, quantization=quantised)
        legs.append((request.dense.tolist(), DENSE, params))
    if request.sparse is not None and request.sparse.indices:
        terms = models.SparseVector(indices=list(request.sparse.indices), values=list(request.sparse.values))
        idf = models.IdfCorpusParams(corpus=server_filter((tenant_clause(restriction.tenant),)))
        legs.append((terms, SPARSE, models.SearchParams(exact=exact, idf=idf)))
    return legs


def _condition(clause: AnyOf | Within) -> models.FieldCondition:
    from qdrant_client import models

    if isinstance(clause, Within):
        return models.FieldCondition(key=clause.key, range=models.Range(gte=clause.low, lt=clause.high))
    return models.FieldCondition(key=clause.key, match=models.MatchAny(any=list(clause.values)))


def _hit(identity: str, score: float, payload: dict[str, Any]) -> Hit:
    return Hit(
        id=identity,
        score=score,
        chunk=int(payload["chunk"]),
        document=int(payload["document"]),
        acl=int(payload["acl"]),
    )
