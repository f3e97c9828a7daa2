"""What a client sent, in the engine's words."""

from __future__ import annotations

from typing import Any

import qdrant_edge as engine
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import grpc_to_payload

from tests.factories.qdrant.refusal import chosen, only, unknown, wrong

_RRF_K = 2
_FUSIONS = {messages.Fusion.DBSF: engine.Fusion.Dbsf, messages.Fusion.RRF: lambda: engine.Fusion.Rrf(k=_RRF_K)}


def to_id(sent: Any) -> Any:
    """A point's id: a number, or a UUID as text."""
    if chosen(sent, "point_id_options", "num", "uuid") == "num":
        return sent.num
    try:
        engine.HasIdCondition({sent.uuid})
    except ValueError as error:
        raise wrong(f"Unable to parse UUID: {sent.uuid}") from error
    return sent.uuid


def to_filter(sent: Any) -> engine.Filter:
    """As on the server, a filter without conditions matches everything."""
    only(sent, "must", "should", "must_not")
    return engine.Filter(
        must=[_condition(one) for one in sent.must] or None,
        should=[_condition(one) for one in sent.should] or None,
        must_not=[_condition(one) for one in sent.must_not] or None,
    )


def filter_of(message: Any) -> engine.Filter | None:
    """The filter of a request, if it has one."""
    return to_filter(message.filter) if message.HasField("filter") else None


def to_point(sent: Any) -> engine.Point:
    """A point to store."""
    only(sent, "id", "payload", "vectors")
    chosen(sent.vectors, "vectors_options", "vectors")
    vectors = {name: _vector(one) for name, one in sent.vectors.vectors.vectors.items()}
    return engine.Point(to_id(sent.id), vectors, grpc_to_payload(sent.payload))


def to_query(sent: Any) -> engine.QueryRequest:
    """A `QueryPoints`, with its prefetches."""
    only(
        sent, "collection_name", "prefetch", "query", "using", "filter", "params", "limit", "with_payload",
        "with_vectors", "read_consistency", "timeout",
    )  # fmt: skip
    return engine.QueryRequest(
        limit=_limit(sent),
        query=_scoring(sent),
        prefetches=[_prefetch(one) for one in sent.prefetch],
        filter=filter_of(sent),
        params=_params(sent),
        with_payload=with_payload(sent.with_payload),
    )


def with_payload(sent: Any) -> Any:
    """Which keys come back; none where nothing is stated."""
    name = sent.WhichOneof("selector_options")
    if name == "include":
        return list(sent.include.fields)
    if name == "exclude":
        raise unknown("WithPayloadSelector.exclude")
    return bool(sent.enable)


def without_vectors(sent: Any) -> None:
    """Refuses to give vectors back, which nobody here asks for."""
    if sent.WhichOneof("selector_options") == "include" or sent.enable:
        raise unknown("with_vectors")


def _prefetch(sent: Any) -> engine.Prefetch:
    only(sent, "prefetch", "query", "using", "filter", "params", "limit")
    return engine.Prefetch(
        _limit(sent),
        query=_scoring(sent),
        prefetches=[_prefetch(one) for one in sent.prefetch],
        filter=filter_of(sent),
        params=_params(sent),
    )


def _limit(sent: Any) -> int:
    if sent.HasField("limit") and sent.limit < 1:
        raise wrong("limit: must be 1 or larger")
    return int(sent.limit) if sent.HasField("limit") else 10


def _scoring(sent: Any) -> Any:
    if not sent.HasField("query"):
        raise unknown("a query without a query")
    kind = chosen(sent.query, "variant", "nearest", "fusion", "rrf")
    if kind != "nearest":
        if not sent.prefetch:
            raise wrong("Fusion queries must have at least one prefetch")
        return _FUSIONS[sent.query.fusion]() if kind == "fusion" else _by_ranks(sent.query.rrf, len(sent.prefetch))
    nearest = sent.query.nearest
    return engine.Query.Nearest(_raw(nearest, chosen(nearest, "variant", "dense", "sparse")), using=sent.using)


def _by_ranks(sent: Any, legs: int) -> Any:
    only(sent, "k", "weights")
    if len(sent.weights) not in {0, legs}:
        raise wrong(f"there are {len(sent.weights)} weights for {legs} prefetches")
    return engine.Fusion.Rrf(k=sent.k if sent.HasField("k") else _RRF_K, weights=list(sent.weights) or None)


def _vector(sent: Any) -> Any:
    only(sent, "dense", "sparse")
    return _raw(sent, chosen(sent, "vector", "dense", "sparse"))


def _raw(sent: Any, kind: str) -> Any:
    if kind == "dense":
        return list(sent.dense.data)
    indices, values = list(sent.sparse.indices), list(sent.sparse.values)
    if len(indices) != len(values) or len(set(indices)) != len(indices):
        raise wrong("sparse indices must be unique, and as many as values")
    return engine.SparseVector(indices, values)


def _params(sent: Any) -> engine.SearchParams | None:
    if not sent.HasField("params"):
        return None
    params = sent.params
    only(params, "hnsw_ef", "exact", "indexed_only", "quantization", "idf")
    return engine.SearchParams(
        hnsw_ef=params.hnsw_ef if params.HasField("hnsw_ef") else None,
        exact=params.exact,
        indexed_only=params.indexed_only,
        quantization=_quantization(params.quantization) if params.HasField("quantization") else None,
        idf=_idf(params.idf) if params.HasField("idf") else None,
    )


def _quantization(sent: Any) -> engine.QuantizationSearchParams:
    return engine.QuantizationSearchParams(
        ignore=sent.ignore,
        rescore=sent.rescore if sent.HasField("rescore") else None,
        oversampling=sent.oversampling if sent.HasField("oversampling") else None,
    )


def _idf(sent: Any) -> engine.IdfParams:
    return engine.IdfParams(corpus=to_filter(sent.corpus) if sent.HasField("corpus") else None)


def _condition(sent: Any) -> Any:
    kind = chosen(sent, "condition_one_of", "field", "has_id", "filter")
    if kind == "has_id":
        return engine.HasIdCondition({to_id(one) for one in sent.has_id.has_id})
    return to_filter(sent.filter) if kind == "filter" else _field(sent.field)


def _field(sent: Any) -> engine.FieldCondition:
    only(sent, "key", "match", "range")
    if sent.HasField("match"):
        return engine.FieldCondition(sent.key, match=_match(sent.match))
    if not sent.HasField("range"):
        raise wrong("At least one field condition must be specified")
    only(sent.range, "gt", "gte", "lt", "lte")
    return engine.FieldCondition(sent.key, range=engine.RangeFloat(**{f.name: v for f, v in sent.range.ListFields()}))


def _match(sent: Any) -> Any:
    kind = chosen(sent, "match_value", "integer", "integers", "keyword", "keywords")
    if kind == "integers":
        return engine.MatchAny(list(sent.integers.integers))
    if kind == "keywords":
        return engine.MatchAny(list(sent.keywords.strings))
    return engine.MatchValue(getattr(sent, kind))
