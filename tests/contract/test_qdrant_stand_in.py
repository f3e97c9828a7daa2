"""The stand-in for a Qdrant server refuses what a server refuses, and aloud what it does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from qdrant_client import QdrantClient
from qdrant_client import grpc as messages
from qdrant_client.models import (
    Distance,
    FieldCondition,
    Filter,
    FusionQuery,
    HasIdCondition,
    IntegerIndexParams,
    MatchExcept,
    MatchValue,
    PointStruct,
    SparseVector,
    VectorParams,
)

from tests.factories.points import point_name
from tests.factories.qdrant.process import PrivateQdrant

NAME, ONE = "c", point_name(1)
VECTORS = {"dense": VectorParams(size=4, distance=Distance.COSINE)}
FLAT = [1.0, 0.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateQdrant]:
    with PrivateQdrant() as made:
        yield made


@pytest.fixture
def client(server: PrivateQdrant) -> Iterator[QdrantClient]:
    """A client that is not the product's, with one collection."""
    made = QdrantClient(server.url, grpc_port=server.port, prefer_grpc=True, timeout=20, check_compatibility=False)
    made.delete_collection(NAME)
    made.create_collection(NAME, VECTORS)
    yield made
    made.close()


def point(**vectors: Any) -> list[PointStruct]:
    return [PointStruct(id=ONE, vector=vectors, payload={"a": 1})]


REFUSED: dict[str, tuple[str, Callable[[QdrantClient], Any]]] = {
    "no such collection to write to": ("NOT_FOUND", lambda client: client.upsert("none", point(dense=FLAT))),
    "no such collection to ask": ("NOT_FOUND", lambda client: client.query_points("none", FLAT, using="dense")),
    "no such collection to count": ("NOT_FOUND", lambda client: client.count("none")),
    "no such collection to look at": ("NOT_FOUND", lambda client: client.get_collection("none")),
    "no such collection to index": (
        "NOT_FOUND",
        lambda client: client.create_payload_index("none", "a", IntegerIndexParams(type="integer")),
    ),
    "a collection that stands": ("ALREADY_EXISTS", lambda client: client.create_collection(NAME, VECTORS)),
    "a name that is a path": ("INVALID_ARGUMENT", lambda client: client.create_collection("../up", VECTORS)),
    "no shard": ("INVALID_ARGUMENT", lambda client: client.create_collection("d", VECTORS, shard_number=0)),
    "no dimension": (
        "INVALID_ARGUMENT",
        lambda client: client.create_collection("d", {"dense": VectorParams(size=0, distance=Distance.COSINE)}),
    ),
    "another dimension": ("INVALID_ARGUMENT", lambda client: client.upsert(NAME, point(dense=[1.0]))),
    "an unknown vector": ("INVALID_ARGUMENT", lambda client: client.upsert(NAME, point(other=FLAT))),
    "a query of another dimension": (
        "INVALID_ARGUMENT",
        lambda client: client.query_points(NAME, [1.0], using="dense"),
    ),
    "a query of an unknown vector": ("INVALID_ARGUMENT", lambda client: client.query_points(NAME, FLAT, using="other")),
    "a term twice": (
        "INVALID_ARGUMENT",
        lambda client: client.query_points(NAME, SparseVector(indices=[1, 1], values=[1, 1]), using="dense"),
    ),
    "nothing to fuse": ("INVALID_ARGUMENT", lambda client: client.query_points(NAME, FusionQuery(fusion="dbsf"))),
    "an index for nothing": (
        "INVALID_ARGUMENT",
        lambda client: client.create_payload_index(
            NAME, "a", IntegerIndexParams(type="integer", lookup=False, range=False)
        ),
    ),
    "a limit of none": ("INVALID_ARGUMENT", lambda client: client.query_points(NAME, FLAT, using="dense", limit=0)),
    "unnamed vectors": (
        "UNIMPLEMENTED",
        lambda client: client.create_collection("d", VectorParams(size=4, distance=Distance.COSINE)),
    ),
    "another distance": (
        "UNIMPLEMENTED",
        lambda client: client.create_collection("d", {"dense": VectorParams(size=4, distance=Distance.DOT)}),
    ),
    "a condition it has no words for": (
        "UNIMPLEMENTED",
        lambda client: client.count(NAME, Filter(must=[FieldCondition(key="a", match=MatchExcept(**{"except": [1]}))])),
    ),
    "vectors given back": ("UNIMPLEMENTED", lambda client: client.retrieve(NAME, [ONE], with_vectors=True)),
    "a score to reach": (
        "UNIMPLEMENTED",
        lambda client: client.query_points(NAME, FLAT, using="dense", score_threshold=0.5),
    ),
    "a call it does not have": ("UNIMPLEMENTED", lambda client: client.clear_payload(NAME, [ONE])),
    "an alias": ("UNIMPLEMENTED", lambda client: client.get_aliases()),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses(client: QdrantClient, case: str) -> None:
    code, call = REFUSED[case]
    with pytest.raises(grpc.RpcError) as refused:
        call(client)
    assert refused.value.code() == grpc.StatusCode[code], refused.value.details()
    assert client.count(NAME).count == 0
    assert not client.collection_exists("d")


def test_a_write_that_is_not_waited_for_is_only_taken(client: QdrantClient) -> None:
    assert client.upsert(NAME, point(dense=FLAT), wait=False).status == "acknowledged"
    assert client.upsert(NAME, point(dense=FLAT), wait=True).status == "completed"


def test_a_filter_without_conditions_matches_everything_as_on_a_server(client: QdrantClient) -> None:
    client.upsert(NAME, point(dense=FLAT))
    assert client.count(NAME, Filter()).count == 1
    assert client.count(NAME, Filter(must_not=[HasIdCondition(has_id=[ONE])])).count == 0


def test_what_was_asked_for_is_told_of_a_collection(client: QdrantClient) -> None:
    client.create_collection("e", VECTORS, shard_number=3, replication_factor=2, write_consistency_factor=2)
    client.create_payload_index("e", "a", IntegerIndexParams(type="integer", lookup=True, range=False), wait=True)
    told = client.get_collection("e")
    client.delete_collection("e")
    params = told.config.params
    assert (params.shard_number, params.replication_factor, params.write_consistency_factor) == (3, 2, 2)
    assert set(told.payload_schema) == {"a"}
    assert params.vectors["dense"].size == 4


def test_a_killed_process_has_its_collections_indexes_and_points(server: PrivateQdrant, client: QdrantClient) -> None:
    client.create_payload_index(NAME, "a", IntegerIndexParams(type="integer", lookup=True, range=False), wait=True)
    client.upsert(NAME, point(dense=FLAT))
    before = client.get_collection(NAME)
    server.kill()
    server.start()
    again = QdrantClient(server.url, grpc_port=server.port, prefer_grpc=True, timeout=20, check_compatibility=False)
    assert again.get_collection(NAME) == before
    found = Filter(must=[FieldCondition(key="a", match=MatchValue(value=1))])
    assert [one.id for one in again.scroll(NAME, found)[0]] == [ONE]
    again.close()


def test_it_ends_with_the_process_that_started_it() -> None:
    with PrivateQdrant() as made:
        assert made.process.stdin is not None
        made.process.stdin.close()
        assert made.process.wait(20) == 0


def test_every_call_is_kept_as_it_was_sent(server: PrivateQdrant, client: QdrantClient) -> None:
    server.forget()
    client.count(NAME, exact=False)
    (kept,) = server.received("Points/Count")
    assert kept.message == messages.CountPoints(collection_name=NAME, exact=False)
    assert kept.headers["user-agent"].startswith("python-client/")
