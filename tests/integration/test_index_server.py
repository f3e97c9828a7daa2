"""What the server adapter asks of a server, read from the messages that came over a real socket."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import grpc as messages

from core.settings import Settings
from embed.index import server as adapter
from embed.index.base import CollectionSpec, IndexUnavailableError, PointRefusedError, SearchRequest
from embed.index.factory import make_index
from embed.index.server import ServerIndex
from embed.index.server_options import ServerOptions
from tests.factories.certificates import write_certificates
from tests.factories.command_line import ROOT
from tests.factories.points import DIMENSION, make_point, make_sparse, make_vector, point_name
from tests.factories.qdrant.process import PrivateQdrant
from tests.factories.scopes import make_scope

NAME = "g1_test"
Opened = Callable[..., ServerIndex]


@pytest.fixture(scope="module")
def running() -> Iterator[PrivateQdrant]:
    """One process for all tests, since each start of one takes a moment."""
    with PrivateQdrant() as server:
        yield server


@pytest.fixture
def server(running: PrivateQdrant) -> PrivateQdrant:
    """The server without a collection, and with no memory of what it was asked before."""
    index = running.index()
    index.drop(NAME)
    index.close()
    running.forget()
    return running


@pytest.fixture
def opened(server: PrivateQdrant) -> Iterator[Opened]:
    """Connects with options, the collection standing."""
    made: list[ServerIndex] = []

    def connect(**options: Any) -> ServerIndex:
        index = server.index(options=ServerOptions(**options))
        made.append(index)
        index.ensure(CollectionSpec(NAME, DIMENSION))
        return index

    yield connect
    for one in made:
        one.close()


def test_a_collection_is_made_as_the_options_say(opened: Opened, server: PrivateQdrant) -> None:
    opened(replicas=3, shards=4, on_disk=True, quantisation="scalar")
    (made,) = server.messages("Collections/Create")
    dense = made.vectors_config.params_map.map["dense"]
    sparse = made.sparse_vectors_config.map["bm25"]
    assert (made.shard_number, made.replication_factor, made.write_consistency_factor) == (4, 3, 2)
    assert (dense.size, dense.distance, dense.on_disk) == (DIMENSION, messages.Distance.Cosine, True)
    assert (sparse.modifier, sparse.index.on_disk) == (messages.Modifier.Idf, True)
    assert (made.on_disk_payload, made.hnsw_config.on_disk) == (True, True)
    assert (made.hnsw_config.full_scan_threshold, made.hnsw_config.payload_m) == (60_000, 16)
    scalar = made.quantization_config.scalar
    assert (scalar.type, scalar.always_ram) == (messages.QuantizationType.Int8, True)


def test_what_callers_filter_by_is_indexed_and_the_tenant_as_such(opened: Opened, server: PrivateQdrant) -> None:
    opened()
    indexed = {one.field_name: one.field_index_params for one in server.messages("Points/CreateFieldIndex")}
    assert set(indexed) == {"tenant_key", "tenant", "source", "document", "acl", "facets", "modified"}
    assert indexed["tenant_key"].keyword_index_params.is_tenant
    assert (indexed["acl"].integer_index_params.lookup, indexed["acl"].integer_index_params.range) == (True, False)
    assert indexed["modified"].integer_index_params.range
    assert all(one.wait for one in server.messages("Points/CreateFieldIndex"))


@pytest.mark.parametrize(("stated", "replicas", "factor"), [(0, 1, 1), (0, 3, 2), (3, 3, 3), (9, 3, 3), (1, 5, 1)])
def test_so_many_replicas_acknowledge(
    opened: Opened, server: PrivateQdrant, stated: int, replicas: int, factor: int
) -> None:
    opened(replicas=replicas, write_acknowledged=stated)
    assert server.messages("Collections/Create")[0].write_consistency_factor == factor


def test_writes_wait_in_one_order_and_carry_both_vectors(opened: Opened, server: PrivateQdrant) -> None:
    opened().upsert(NAME, [make_point(1, tenant=7, terms=(5,))])
    (sent,) = server.messages("Points/Upsert")
    (point,) = sent.points
    assert (sent.wait, sent.ordering.type) == (True, messages.WriteOrderingType.Strong)
    assert set(point.vectors.vectors.vectors) == {"bm25", "dense"}
    assert (point.payload["tenant"].integer_value, point.payload["tenant_key"].string_value) == (7, "7")


@pytest.mark.parametrize("write", ["place", "describe", "delete"])
def test_every_other_write_waits_in_the_same_order(opened: Opened, server: PrivateQdrant, write: str) -> None:
    index, ids = opened(), [point_name(1)]
    if write == "place":
        index.place(NAME, ids, acl=2)
    elif write == "describe":
        index.describe(NAME, ids, facets=[3], modified=4)
    else:
        index.delete(NAME, ids)
    (sent,) = server.messages("Points/Delete" if write == "delete" else "Points/SetPayload")
    assert (sent.wait, sent.ordering.type) == (True, messages.WriteOrderingType.Strong)


@pytest.mark.parametrize(
    ("quantisation", "exact_up_to", "told"),
    [
        ("none", 0, (True, False, False, False)),
        ("binary", 0, (True, True, True, False)),
        ("binary", -1, (False, True, False, True)),
    ],
)
def test_a_search_is_exact_among_few_and_rescored_where_quantised(
    opened: Opened, server: PrivateQdrant, quantisation: str, exact_up_to: int, told: tuple[bool, ...]
) -> None:
    request = SearchRequest(make_vector(1), make_sparse(5), limit=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "EXACT_UP_TO", exact_up_to)
        opened(quantisation=quantisation).search(NAME, request, make_scope(1))
    (asked,) = server.messages("Points/Query")
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
def test_every_read_that_is_relied_on_asks_so_many_replicas(
    opened: Opened, server: PrivateQdrant, options: dict[str, Any], asked: int | None
) -> None:
    index = opened(**options)
    index.search(NAME, SearchRequest(None, make_sparse(5), limit=3), make_scope(1))
    index.existing(NAME, [point_name(1)])
    list(index.scan(NAME))
    for call in ("Query", "Get", "Scroll"):
        (sent,) = server.messages(f"Points/{call}")
        consistency = sent.read_consistency
        assert (consistency.type if consistency.WhichOneof("value") == "type" else None) == asked, call


@pytest.mark.parametrize("dense", [np.full(DIMENSION, np.nan, np.float32), np.ones(DIMENSION + 1, np.float32)])
def test_a_vector_that_is_none_is_refused_before_anything_is_sent(
    opened: Opened, server: PrivateQdrant, dense: Any
) -> None:
    index = opened()
    with pytest.raises(PointRefusedError):
        index.upsert(NAME, [make_point(1), make_point(2, dense=dense)])
    assert server.messages("Points/Upsert") == []


def test_the_settings_reach_the_server(server: PrivateQdrant) -> None:
    settings = Settings(
        _env_file=None,
        index_url=server.url,
        index_grpc_port=server.port,
        index_timeout_s=7,
        index_replicas=3,
        index_shards=2,
        index_write_acknowledged=3,
        index_read_consistency="all",
        index_on_disk=True,
        index_quantisation="scalar",
    )
    assert ServerOptions.of(settings) == ServerOptions(3, 2, 3, "all", on_disk=True, quantisation="scalar")
    index = make_index(settings)
    index.ensure(CollectionSpec(NAME, DIMENSION))
    index.close()
    (made,) = server.received("Collections/Create")
    assert (made.message.shard_number, made.message.write_consistency_factor) == (2, 3)
    assert made.remaining_s is not None
    assert made.remaining_s < 8


def test_the_key_goes_with_every_call() -> None:
    with PrivateQdrant(key="hunter2") as guarded:
        index = guarded.index()
        with pytest.warns(UserWarning, match="insecure connection"):
            index.ensure(CollectionSpec(NAME, DIMENSION))
        index.upsert(NAME, [make_point(1)])
        index.close()
        assert {one.headers["api-key"] for one in guarded.received("Points/Upsert")} == {"hunter2"}
        stranger = guarded.index(key="wrong")
        with (
            pytest.warns(UserWarning, match="insecure connection"),
            pytest.raises(IndexUnavailableError, match="UNAUTHENTICATED"),
        ):
            stranger.count(NAME)
        stranger.close()


@pytest.mark.parametrize("version", ["1.18.9", "0.11.0", "dev"])
def test_a_server_that_would_pass_over_the_statistics_per_tenant_is_refused(version: str) -> None:
    with PrivateQdrant(version=version) as old:
        index = old.index()
        for _ in range(2):
            with pytest.raises(IndexUnavailableError, match=re.escape(repr(version))):
                index.ensure(CollectionSpec(NAME, DIMENSION))
        index.close()
        assert old.messages("Collections/Create") == []


@pytest.mark.parametrize("trusted", [True, False])
def test_an_address_with_https_is_asked_over_tls(tmp_path: Path, trusted: bool) -> None:
    """In a process of its own, since gRPC reads once whom it trusts."""
    write_certificates(tmp_path, "localhost")
    trust = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(tmp_path / "ca.pem")} if trusted else {}
    with PrivateQdrant(certificates=tmp_path) as server:
        code = f"""
            from embed.index.base import CollectionSpec, IndexUnavailableError
            from embed.index.server import ServerIndex
            index = ServerIndex("https://localhost", "hunter2", grpc_port={server.port}, timeout_s=10)
            try:
                index.ensure(CollectionSpec({NAME!r}, 4))
                print(index.count({NAME!r}))
            except IndexUnavailableError as error:
                print(error.detail)
            index.close()
            """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")} | trust
        command = [sys.executable, "-c", textwrap.dedent(code)]
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
        reached = server.messages("Collections/Create")
    assert ran.stdout.strip() == (
        "0" if trusted else "the vector index at https://localhost failed: StatusCode.UNAVAILABLE"
    )
    assert bool(reached) == trusted
    assert "insecure" not in ran.stderr
