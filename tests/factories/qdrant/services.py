"""The calls that the stand-in answers; every other is UNIMPLEMENTED, by the classes it derives from."""

from __future__ import annotations

from typing import Any

import qdrant_edge as engine
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import RestToGrpc, grpc_to_payload

from tests.factories.qdrant.reading import (
    filter_of,
    to_filter,
    to_id,
    to_point,
    to_query,
    with_payload,
    without_vectors,
)
from tests.factories.qdrant.refusal import chosen, only, wrong
from tests.factories.qdrant.schema import describe, to_index
from tests.factories.qdrant.store import Store

_WRITE = ("collection_name", "wait", "ordering", "timeout")
_READ = ("collection_name", "read_consistency", "timeout")


class Health(messages.QdrantServicer):  # type: ignore[misc]
    """Says which version it passes for."""

    def __init__(self, version: str) -> None:
        self._version = version

    def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return messages.HealthCheckReply(title="qdrant - vector search engine", version=self._version)


class Collections(messages.CollectionsServicer):  # type: ignore[misc]
    """Making, finding and dropping them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def CollectionExists(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        exists = request.collection_name in self._store
        return messages.CollectionExistsResponse(result=messages.CollectionExists(exists=exists))

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        self._store.create(request)
        return messages.CollectionOperationResponse(result=True)

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        only(request, "collection_name", "timeout")
        return messages.CollectionOperationResponse(result=self._store.drop(request.collection_name))

    def Get(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        found = self._store[request.collection_name]
        return messages.GetCollectionInfoResponse(result=describe(found.config, found.shard.info()))


class Points(messages.PointsServicer):  # type: ignore[misc]
    """Writing and reading points."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def CreateFieldIndex(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        only(request, *_WRITE, "field_name", "field_type", "field_index_params")
        return self._write(request, engine.UpdateOperation.create_field_index(request.field_name, to_index(request)))

    def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        only(request, *_WRITE, "points")
        if not request.points:
            raise wrong("Empty update request")
        points = [to_point(one) for one in request.points]
        self._store[request.collection_name].check(points)
        return self._write(request, engine.UpdateOperation.upsert_points(points))

    def SetPayload(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        only(request, *_WRITE, "payload", "points_selector")
        chosen(request.points_selector, "points_selector_one_of", "filter")
        values = grpc_to_payload(request.payload)
        selected = to_filter(request.points_selector.filter)
        return self._write(request, engine.UpdateOperation.set_payload_by_filter(selected, values))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        only(request, *_WRITE, "points")
        chosen(request.points, "points_selector_one_of", "points")
        ids = [to_id(one) for one in request.points.points.ids]
        return self._write(request, engine.UpdateOperation.delete_points(ids))

    def Query(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        without_vectors(request.with_vectors)
        found = self._store[request.collection_name].shard.query(to_query(request))
        return messages.QueryResponse(result=[_scored(one) for one in found])

    def Count(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        only(request, *_READ, "filter", "exact")
        asked = engine.CountRequest(exact=request.exact, filter=filter_of(request))
        count = self._store[request.collection_name].shard.count(asked)
        return messages.CountResponse(result=messages.CountResult(count=count))

    def Get(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        only(request, *_READ, "ids", "with_payload", "with_vectors")
        without_vectors(request.with_vectors)
        ids = [to_id(one) for one in request.ids]
        found = self._store[request.collection_name].shard.retrieve(ids, with_payload(request.with_payload), False)
        return messages.GetResponse(result=[_record(one) for one in found])

    def Scroll(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        only(request, *_READ, "filter", "offset", "limit", "with_payload", "with_vectors")
        without_vectors(request.with_vectors)
        asked = engine.ScrollRequest(
            offset=to_id(request.offset) if request.HasField("offset") else None,
            limit=request.limit if request.HasField("limit") else 10,
            filter=filter_of(request),
            with_payload=with_payload(request.with_payload),
        )
        found, following = self._store[request.collection_name].shard.scroll(asked)
        offset = None if following is None else _id(following)
        return messages.ScrollResponse(result=[_record(one) for one in found], next_page_offset=offset)

    def _write(self, request: Any, operation: engine.UpdateOperation) -> Any:
        number = self._store[request.collection_name].update(operation)
        status = messages.UpdateStatus.Completed if request.wait else messages.UpdateStatus.Acknowledged
        return messages.PointsOperationResponse(result=messages.UpdateResult(operation_id=number, status=status))


def _id(found: Any) -> Any:
    return RestToGrpc.convert_extended_point_id(found if isinstance(found, int) else str(found))


def _record(found: engine.Record) -> Any:
    return messages.RetrievedPoint(id=_id(found.id), payload=RestToGrpc.convert_payload(found.payload or {}))


def _scored(found: engine.ScoredPoint) -> Any:
    payload = RestToGrpc.convert_payload(found.payload or {})
    return messages.ScoredPoint(id=_id(found.id), payload=payload, score=found.score, version=found.version)
