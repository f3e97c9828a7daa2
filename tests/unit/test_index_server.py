"""What the server adapter asks of a server, read from the messages that a gRPC server gets."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client import grpc as messages

from core.settings import Settings
from embed.index.base import CollectionSpec, PointRefusedError, SearchRequest
from embed.index.server import ServerIndex
from embed.index.server_options import ServerOptions
from tests.factories.points import DIMENSION, make_point, make_sparse, make_vector
from tests.factories.scopes import make_scope

NAME = "g1_test"


@dataclass
class Recorder:
    """Every message by its method; it holds no points."""

    found: dict[str, list[Any]] = field(default_factory=dict)
    few: int = 0

    def take(self, method: str, message: Any) -> None:
        self.found.setdefault(method, []).append(message)


class Collections(messages.CollectionsServicer):  # type: ignore[misc]
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def CollectionExists(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol\'s name
        return messages.CollectionExistsResponse(result=messages.CollectionExists(exists=False))

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol\'s name
        self._recorder.take("create", request)
        return messages.CollectionOperationResponse(result=True)

    def Get(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol\'s name
        info = messages.CollectionInfo(status=messages.CollectionStatus.Green)
        dense = info.config.params.vectors_config.params_map.map["dense"]
        dense.size, dense.distance = DIMENSION, messages.Distance.Cosine
        info.config.hnsw_config.m, info.config.hnsw_config.ef_construct = 16, 100
        info.config.hnsw_config.full_scan_threshold = 60_000
        optimizer = info.config.optimizer_config
        optimizer.deleted_threshold, optimizer.vacuum_min_vector_number = 0.2, 1000
        optimizer.default_segment_number, optimizer.flush_interval_sec = 0, 5
        info.config.wal_config.wal_capacity_mb, info.config.wal_config.wal_segments_ahead = 32, 0
        return messages.GetCollectionInfoResponse(result=info)


class Points(messages.PointsServicer):  # type: ignore[misc]
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def CreateFieldIndex(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol\'s name
        return self._done("index", request)

    def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol\'s name
        return self._done("upsert", request)

    def Count(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol\'s name
        return messages.CountResponse(result=messages.CountResult(count=self._recorder.few))

    def Query(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol\'s name
        self._recorder.take("query", request)
        return messages.QueryResponse()

    def _done(self, method: str, request: Any) -> Any:
        self._recorder.take(method, request)
        done = messages.UpdateResult(operation_id=1, status=messages.UpdateStatus.Completed)
        return messages.PointsOperationResponse(result=done)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def client(recorder: Recorder) -> Iterator[QdrantClient]:
    server = grpc.server(ThreadPoolExecutor(2))
    messages.add_CollectionsServicer_to_server(Collections(recorder), server)
    messages.add_PointsServicer_to_server(Points(recorder), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    made = QdrantClient(
        host="127.0.0.1", port=1, grpc_port=port, prefer_grpc=True, check_compatibility=False, timeout=10
    )
    yield made
    made.close()
    server.stop(0).wait()


def opened(client: QdrantClient, **options: Any) -> ServerIndex:
    index = ServerIndex("http://unused", client=client, options=ServerOptions(**options))
    index.ensure(CollectionSpec(NAME, DIMENSION))
    return index


def test_a_collection_is_made_as_the_options_say(client: QdrantClient, recorder: Recorder) -> None:
    opened(client, replicas=3, shards=4, on_disk=True, quantisation="scalar")
    (made,) = recorder.found["create"]
    dense = made.vectors_config.params_map.map["dense"]
    sparse = made.sparse_vectors_config.map["bm25"]
    assert (made.shard_number, made.replication_factor, made.write_consistency_factor) == (4, 3, 2)
    assert (dense.size, dense.distance, dense.on_disk) == (DIMENSION, messages.Distance.Cosine, True)
    assert (sparse.modifier, sparse.index.on_disk) == (messages.Modifier.Idf, True)
    assert (made.on_disk_payload, made.hnsw_config.on_disk) == (True, True)
    assert (made.hnsw_config.full_scan_threshold, made.hnsw_config.payload_m) == (60_000, 16)
    scalar = made.quantization_config.scalar
    assert (scalar.type, scalar.always_ram) == (messages.QuantizationType.Int8, True)


def test_what_callers_filter_by_is_indexed_and_the_tenant_as_such(client: QdrantClient, recorder: Recorder) -> None:
    opened(client)
    indexed = {one.field_name: one.field_index_params for one in recorder.found["index"]}
    assert set(indexed) == {"tenant_key", "tenant", "source", "document", "acl", "facets", "modified"}
    assert indexed["tenant_key"].keyword_index_params.is_tenant
    assert (indexed["acl"].integer_index_params.lookup, indexed["acl"].integer_index_params.range) == (True, False)
    assert indexed["modified"].integer_index_params.range
    assert all(one.wait for one in recorder.found["index"])


@pytest.mark.parametrize(("stated", "replicas", "factor"), [(0, 1, 1), (0, 3, 2), (3, 3, 3), (9, 3, 3), (1, 5, 1)])
def test_so_many_replicas_acknowledge(
    client: QdrantClient, recorder: Recorder, stated: int, replicas: int, factor: int
) -> None:
    opened(client, replicas=replicas, write_acknowledged=stated)
    assert recorder.found["create"][0].write_consistency_factor == factor


def test_writes_wait_in_one_order_and_carry_both_vectors(client: QdrantClient, recorder: Recorder) -> None:
    opened(client).upsert(NAME, [make_point(1, tenant=7, terms=(5,))])
    (sent,) = recorder.found["upsert"]
    (point,) = sent.points
    assert (sent.wait, sent.ordering.type) == (True, messages.WriteOrderingType.Strong)
    assert set(point.vectors.vectors.vectors) == {"bm25", "dense"}
    assert (point.payload["tenant"].integer_value, point.payload["tenant_key"].string_value) == (7, "7")


@pytest.mark.parametrize(
    ("options", "few", "told"),
    [
        ({}, 10, (True, False, False, False)),
        ({"quantisation": "binary"}, 10, (True, True, True, False)),
        ({"quantisation": "binary"}, 10**6, (False, True, False, True)),
    ],
)
def test_a_search_is_exact_among_few_and_rescored_where_quantised(
    client: QdrantClient, recorder: Recorder, options: dict[str, Any], few: int, told: tuple[bool, ...]
) -> None:
    recorder.few = few
    request = SearchRequest(make_vector(1), make_sparse(5), limit=3)
    opened(client, **options).search(NAME, request, make_scope(1))
    (asked,) = recorder.found["query"]
    dense = next(one for one in asked.prefetch if one.using == "dense").params
    quantised = dense.quantization
    assert (dense.exact, dense.HasField("quantization"), quantised.ignore, quantised.rescore) == told
    assert all(one.filter.must for one in asked.prefetch)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, None),
        ({"replicas": 3}, messages.ReadConsistencyType.Majority),
        ({"replicas": 3, "read": "all"}, messages.ReadConsistencyType.All),
        ({"replicas": 3, "read": "one"}, None),
    ],
)
def test_a_read_asks_so_many_replicas(
    client: QdrantClient, recorder: Recorder, options: dict[str, Any], asked: int | None
) -> None:
    opened(client, **options).search(NAME, SearchRequest(make_vector(1), None, limit=3), make_scope(1))
    consistency = recorder.found["query"][0].read_consistency
    found = consistency.type if consistency.WhichOneof("value") == "type" else None
    assert found == asked


@pytest.mark.parametrize("dense", [np.full(DIMENSION, np.nan, np.float32), np.ones(DIMENSION + 1, np.float32)])
def test_a_vector_that_is_none_is_refused_before_anything_is_sent(
    client: QdrantClient, recorder: Recorder, dense: Any
) -> None:
    index = opened(client)
    with pytest.raises(PointRefusedError):
        index.upsert(NAME, [make_point(1), make_point(2, dense=dense)])
    assert "upsert" not in recorder.found


def test_the_settings_reach_the_server() -> None:
    settings = Settings(
        index_replicas=3,
        index_shards=2,
        index_write_acknowledged=3,
        index_read_consistency="all",
        index_on_disk=True,
        index_quantisation="scalar",
    )
    assert ServerOptions.of(settings) == ServerOptions(3, 2, 3, "all", on_disk=True, quantisation="scalar")
