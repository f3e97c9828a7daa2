"""What every vector index must do, run against each of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConflictError, InvalidError
from embed.index.base import (
    CollectionSpec,
    Filters,
    Fusion,
    Hit,
    IndexUnavailableError,
    Payload,
    Point,
    PointRefusedError,
    SearchRequest,
    SparseVector,
    VectorIndex,
)
from embed.index.edge import EdgeIndex
from embed.index.hosted import HostedIndex
from embed.index.server import ServerIndex
from policies.scope import ReadScope
from tests.factories.points import DIMENSION, make_point, make_sparse, make_vector, point_name
from tests.factories.qdrant.process import PrivateQdrant
from tests.factories.scopes import make_scope

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]

NAME = "g1_test"
LOCAL = "http://unused"
ROOT = Path(__file__).resolve().parents[2]
SERVER = os.environ.get("AMBIT_TEST_QDRANT_URL")


def edge(folder: Path) -> VectorIndex:
    return EdgeIndex(folder / "index")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedIndex]:
    """One process for all tests, since each start of one takes a moment."""
    made = HostedIndex(tmp_path_factory.mktemp("hosted") / "index")
    yield made
    made.close()


@pytest.fixture(scope="module")
def wire() -> Iterator[ServerIndex]:
    """The stand-in for a server, which crosses a socket and answers with Qdrant's engine; one process for all tests."""
    with PrivateQdrant() as server:
        made = server.index()
        yield made
        made.close()


def local(folder: Path) -> VectorIndex:
    """The client's own in-memory engine: it proves that the calls are well formed, not what a server does with them."""
    from qdrant_client import QdrantClient

    return ServerIndex(LOCAL, client=QdrantClient(":memory:"))


def server(folder: Path) -> VectorIndex:
    if SERVER is None:
        pytest.skip("AMBIT_TEST_QDRANT_URL is not set: not verified against a real server")
    index = ServerIndex(SERVER, os.environ.get("AMBIT_TEST_QDRANT_KEY"))
    index.drop(NAME)
    return index


@pytest.fixture(
    params=[edge, "shared", local, "wire", server], ids=["edge", "hosted", "local", "server-wire", "server"]
)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    """Each kind of index in turn; one named by a fixture serves every test, which leaves it empty."""
    make: Callable[[Path], VectorIndex] | str = request.param
    made: VectorIndex = request.getfixturevalue(make) if isinstance(make, str) else make(tmp_path)
    made.ensure(CollectionSpec(NAME, DIMENSION))
    yield made
    if isinstance(make, str):
        made.drop(NAME)
    else:
        made.close()


def find(
    index: VectorIndex,
    scope: ReadScope,
    *,
    near: int | None = 1,
    terms: tuple[int, ...] = (),
    limit: int = 10,
    filters: Filters | None = None,
) -> list[Hit]:
    dense = None if near is None else make_vector(near)
    request = SearchRequest(dense, make_sparse(*terms), limit, filters=filters or Filters())
    return index.search(NAME, request, scope)


def chunks(hits: list[Hit]) -> set[int]:
    return {hit.chunk for hit in hits}


def test_nearest_comes_first_and_carries_its_integers(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(number, acl=number) for number in range(1, 9)])
    hits = find(index, make_scope(*range(1, 9)), near=3)
    assert hits[0] == Hit(point_name(3), hits[0].score, chunk=3, document=3, acl=3)
    assert hits[0].score == pytest.approx(1.0, abs=1e-4)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(hits) == 8


def test_limit_is_kept(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(number) for number in range(1, 9)])
    assert len(find(index, make_scope(1), limit=3, terms=(7,))) == 3
    assert find(index, make_scope(1), limit=0) == []


def test_hybrid_finds_by_either_leg(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(number, terms=(number + 100,)) for number in range(1, 30)])
    request = SearchRequest(make_vector(1), make_sparse(120), limit=10, candidates=3)
    hits = index.search(NAME, request, make_scope(1))
    assert {1, 20} <= chunks(hits)


class TestFusion:
    """Point 1 is nearest in meaning and 2 in terms, of many."""

    def found(self, index: VectorIndex, fusion: Fusion) -> list[Hit]:
        others = [make_point(number, terms=(8, 20 + number)) for number in range(3, 12)]
        index.upsert(NAME, [make_point(1, terms=(8,)), make_point(2, terms=(7,)), *others])
        request = SearchRequest(make_vector(1), make_sparse(7), limit=2, fusion=fusion)
        return index.search(NAME, request, make_scope(1))

    @pytest.mark.parametrize(("weights", "first"), [((5.0, 1.0), 1), ((1.0, 5.0), 2)])
    def test_the_heavier_leg_decides(self, index: VectorIndex, weights: tuple[float, float], first: int) -> None:
        assert self.found(index, Fusion("rrf", 1, weights))[0].id == point_name(first)

    def test_ranks_and_scores_give_other_scores(self, index: VectorIndex) -> None:
        by_score, by_rank = (self.found(index, Fusion(one)) for one in ("dbsf", "rrf"))
        assert by_rank[0].score <= 2 / 10 < by_score[0].score

    def test_a_larger_k_makes_less_of_the_first_rank(self, index: VectorIndex) -> None:
        steep, flat = (self.found(index, Fusion("rrf", k))[0].score for k in (1, 100))
        assert steep > flat


def test_each_leg_alone(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(1, terms=(5,)), make_point(2, terms=(6,)), make_point(3, terms=())])
    assert chunks(find(index, make_scope(1), near=None, terms=(6,))) == {2}
    assert chunks(find(index, make_scope(1), near=3)) == {1, 2, 3}
    assert find(index, make_scope(1), near=None) == []


def test_equal_scores_come_in_id_order(index: VectorIndex) -> None:
    same = make_vector(99)
    index.upsert(NAME, [make_point(number, dense=same) for number in range(1, 40)])
    names = sorted(point_name(number) for number in range(1, 40))
    assert [hit.id for hit in find(index, make_scope(1), near=99, terms=(7,), limit=5)] == names[:5]


def test_same_id_is_replaced_whole(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(1, terms=(5,), facets=(4,))])
    index.upsert(NAME, [make_point(1, terms=(), dense=make_vector(2), acl=9)])
    assert index.count(NAME) == 1
    assert dict(index.scan(NAME)) == {point_name(1): Payload(tenant=1, source=1, document=1, chunk=1, acl=9)}
    assert find(index, make_scope(1, 9), near=None, terms=(5,)) == []
    assert find(index, make_scope(9), near=2)[0].score == pytest.approx(1.0, abs=1e-4)


def test_a_long_batch_is_stored_whole(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(number) for number in range(1, 702)])
    assert index.count(NAME) == 701
    assert len(dict(index.scan(NAME))) == 701


def test_nothing_to_write_is_nothing_written(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(1)])
    index.upsert(NAME, [])
    index.delete(NAME, [])
    index.place(NAME, [], acl=5)
    index.describe(NAME, [], facets=[5], modified=5)
    assert dict(index.scan(NAME))[point_name(1)] == make_point(1).payload


@pytest.mark.parametrize("terms", [(), (7,)], ids=["dense", "hybrid"])
class TestScope:
    def test_only_its_nodes_are_found(self, index: VectorIndex, terms: tuple[int, ...]) -> None:
        index.upsert(NAME, [make_point(number, acl=number) for number in range(1, 7)])
        assert chunks(find(index, make_scope(2, 4), terms=terms)) == {2, 4}

    def test_complement_leaves_its_nodes_out(self, index: VectorIndex, terms: tuple[int, ...]) -> None:
        index.upsert(NAME, [make_point(number, acl=number) for number in range(1, 7)])
        assert chunks(find(index, make_scope(2, 4, complement=True), terms=terms)) == {1, 3, 5, 6}

    def test_complement_of_nothing_stays_within_tenant_and_sources(
        self, index: VectorIndex, terms: tuple[int, ...]
    ) -> None:
        index.upsert(NAME, [make_point(1), make_point(2, tenant=2), make_point(3, source=2), make_point(4, acl=9)])
        assert chunks(find(index, make_scope(complement=True), terms=terms)) == {1, 4}

    @pytest.mark.parametrize(
        "scope", [make_scope(), make_scope(1, sources=()), make_scope(complement=True, sources=())]
    )
    def test_an_empty_scope_finds_nothing(self, index: VectorIndex, terms: tuple[int, ...], scope: ReadScope) -> None:
        index.upsert(NAME, [make_point(1)])
        assert scope.empty
        assert find(index, scope, terms=terms) == []

    def test_an_unknown_node_finds_nothing(self, index: VectorIndex, terms: tuple[int, ...]) -> None:
        index.upsert(NAME, [make_point(1)])
        assert find(index, make_scope(77), terms=terms) == []

    def test_another_tenant_is_never_found(self, index: VectorIndex, terms: tuple[int, ...]) -> None:
        index.upsert(NAME, [make_point(1), make_point(2, tenant=2)])
        assert chunks(find(index, make_scope(1, tenant=2), terms=terms)) == {2}
        assert chunks(find(index, make_scope(1, tenant=1), near=2, terms=terms)) == {1}
        assert find(index, make_scope(1, tenant=3), terms=terms) == []

    def test_hidden_neighbours_do_not_use_up_the_candidates(self, index: VectorIndex, terms: tuple[int, ...]) -> None:
        near = make_vector(1)
        hidden = [make_point(number, dense=near, acl=2) for number in range(10, 60)]
        index.upsert(NAME, [*hidden, make_point(5, acl=1)])
        request = SearchRequest(near, make_sparse(*terms), limit=3, candidates=3)
        assert chunks(index.search(NAME, request, make_scope(1))) == {5}


def test_of_what_may_be_read_the_true_nearest_are_found(index: VectorIndex) -> None:
    """In bands of what may be read, against brute force: neighbours that filtering or rounding loses show here."""
    if is_local(index):
        pytest.skip("the client's in-memory engine is brute force itself")
    chance = np.random.default_rng(7)
    centres = np.repeat(chance.standard_normal((40, DIMENSION)), 50, axis=0)
    vectors = (centres + 0.02 * chance.standard_normal(centres.shape)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    nodes = chance.integers(1, 101, len(vectors)).tolist()
    index.upsert(NAME, [make_point(row + 1, dense=vectors[row], acl=node, terms=()) for row, node in enumerate(nodes)])
    for share in (1, 5, 13, 50, 100):
        sent = range(share + 1, 101) if share > 50 else range(1, share + 1)
        scope = make_scope(*sent, complement=share > 50)
        visible = np.flatnonzero(np.asarray(nodes) <= share)
        found = 0
        for asked in vectors[:200:10]:
            nearest = visible[np.argsort(-(vectors[visible] @ asked), kind="stable")[:10]] + 1
            found += len(chunks(index.search(NAME, SearchRequest(asked, None, 10), scope)) & set(nearest.tolist()))
        assert found >= 0.99 * 200, f"{share} % visible"


def test_many_nodes(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(1, acl=4_999), make_point(2, acl=5_001)])
    assert chunks(find(index, make_scope(*range(1, 5_000)))) == {1}
    assert chunks(find(index, make_scope(*range(1, 5_000), complement=True))) == {2}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(), {1, 2, 3, 4}),
        (Filters(sources=(2,)), {3}),
        (Filters(sources=(2, 3)), {3}),
        (Filters(sources=(3,)), set()),
        (Filters(sources=()), set()),
        (Filters(nodes=(1, 2)), {1, 2, 3, 4}),
        (Filters(nodes=(2,)), set()),
        (Filters(nodes=()), set()),
        (Filters(facets=((10,),)), {1, 2}),
        (Filters(facets=((10, 30),)), {1, 2, 3}),
        (Filters(facets=((10,), (20,))), {2}),
        (Filters(facets=((10,), ())), set()),
        (Filters(modified_from=200), {2, 3}),
        (Filters(modified_until=200), {1}),
        (Filters(modified_from=100, modified_until=201), {1, 2}),
        (Filters(modified_from=300, modified_until=300), set()),
        (Filters(sources=(1,), facets=((10,),), modified_from=150), {2}),
    ],
)
@pytest.mark.parametrize("terms", [(), (7,)], ids=["dense", "hybrid"])
def test_filters_narrow(index: VectorIndex, terms: tuple[int, ...], filters: Filters, found: set[int]) -> None:
    index.upsert(
        NAME,
        [
            make_point(1, facets=(10,), modified=100),
            make_point(2, facets=(10, 20), modified=200),
            make_point(3, facets=(30,), modified=300, source=2),
            make_point(4),
            make_point(5, source=3, facets=(10, 20), modified=200),
            make_point(6, acl=2, facets=(10, 20), modified=200),
        ],
    )
    assert chunks(find(index, make_scope(1, sources=(1, 2)), filters=filters, terms=terms)) == found


def refused() -> dict[str, Point]:
    good = make_point(2)
    bad = make_vector(2)
    bad[3] = np.nan
    return {
        "no acl": make_point(2, acl=0),
        "no tenant": make_point(2, tenant=0),
        "no source": make_point(2, source=0),
        "nan": good._replace(dense=bad),
        "infinite": good._replace(dense=make_vector(2) * np.float32(np.inf)),
        "dimension": good._replace(dense=make_vector(2, DIMENSION + 1)),
        "matrix": good._replace(dense=np.stack([make_vector(2)])),
        "zero": good._replace(dense=np.zeros(DIMENSION, np.float32)),
        "id": good._replace(id="2"),
        "sparse nan": good._replace(sparse=SparseVector((1,), (float("nan"),))),
        "sparse order": good._replace(sparse=SparseVector((2, 1), (1.0, 1.0))),
        "sparse twice": good._replace(sparse=SparseVector((1, 1), (1.0, 1.0))),
        "sparse length": good._replace(sparse=SparseVector((1, 2), (1.0,))),
        "sparse range": good._replace(sparse=SparseVector((2**32,), (1.0,))),
    }


@pytest.mark.parametrize("case", refused())
def test_a_bad_point_is_refused_before_anything_is_written(index: VectorIndex, case: str) -> None:
    with pytest.raises(PointRefusedError):
        index.upsert(NAME, [make_point(1), refused()[case], make_point(3)])
    assert index.count(NAME) == 0


def test_place_changes_the_node_and_nothing_else(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(number, facets=(3,), modified=9) for number in (1, 2)])
    index.place(NAME, [point_name(1), point_name(404)], acl=8)
    assert chunks(find(index, make_scope(8), terms=(7,))) == {1}
    assert chunks(find(index, make_scope(1), terms=(7,))) == {2}
    assert dict(index.scan(NAME))[point_name(1)] == make_point(1).payload._replace(acl=8, facets=(3,), modified=9)
    assert find(index, make_scope(8), near=1)[0].score == pytest.approx(1.0, abs=1e-4)
    assert index.count(NAME) == 2


def test_place_refuses_no_node(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(1)])
    with pytest.raises(PointRefusedError):
        index.place(NAME, [point_name(1)], acl=0)
    assert chunks(find(index, make_scope(1))) == {1}


def test_describe_replaces_facets_and_time(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(1, facets=(3, 4), modified=9)])
    index.describe(NAME, [point_name(1), point_name(404)], facets=[5], modified=70)
    assert dict(index.scan(NAME))[point_name(1)] == make_point(1).payload._replace(facets=(5,), modified=70)
    assert find(index, make_scope(1), filters=Filters(facets=((3,),))) == []
    index.describe(NAME, [point_name(1)], facets=[], modified=0)
    assert dict(index.scan(NAME))[point_name(1)] == make_point(1).payload


def test_delete_by_id(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(number) for number in range(1, 5)])
    index.delete(NAME, [point_name(2), point_name(3), point_name(404)])
    assert chunks(find(index, make_scope(1), terms=(7,))) == {1, 4}
    with pytest.raises(PointRefusedError):
        index.delete(NAME, ["not an id"])


def test_existing_names_those_that_are_there(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(number) for number in range(1, 4)])
    wanted = [point_name(number) for number in (3, 404, 1)]
    assert index.existing(NAME, wanted) == {point_name(1), point_name(3)}
    assert index.existing(NAME, []) == set()
    index.delete(NAME, [point_name(3)])
    assert index.existing(NAME, wanted) == {point_name(1)}
    with pytest.raises(PointRefusedError):
        index.existing(NAME, ["not an id"])


def test_count_by_tenant(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(1), make_point(2), make_point(3, tenant=2)])
    assert [index.count(NAME, tenant=tenant) for tenant in (1, 2, 3)] == [2, 1, 0]
    assert index.count(NAME) == 3


def test_scan_gives_back_every_payload(index: VectorIndex) -> None:
    points = [make_point(number, facets=(number,), modified=number, acl=number) for number in range(1, 301)]
    index.upsert(NAME, points)
    assert dict(index.scan(NAME)) == {point.id: point.payload for point in points}


def test_ensure_again_keeps_what_is_there_and_refuses_another_dimension(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(1)])
    index.ensure(CollectionSpec(NAME, DIMENSION))
    with pytest.raises(ConflictError, match="dimensions"):
        index.ensure(CollectionSpec(NAME, DIMENSION + 1))
    assert index.count(NAME) == 1


def test_drop_and_begin_again(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(1)])
    index.drop(NAME)
    index.drop(NAME)
    index.ensure(CollectionSpec(NAME, DIMENSION + 1))
    assert index.count(NAME) == 0
    with pytest.raises(PointRefusedError):
        index.upsert(NAME, [make_point(1)])


@pytest.mark.parametrize("name", ["", "../up", "a/b", "A", ".lock"])
def test_a_name_that_is_no_name_is_refused(index: VectorIndex, name: str) -> None:
    with pytest.raises(InvalidError):
        index.ensure(CollectionSpec(name, DIMENSION))


def is_local(index: VectorIndex) -> bool:
    return isinstance(index, ServerIndex) and index._url == LOCAL


def rounded(index: VectorIndex, hits: list[Hit]) -> list[Hit]:
    """The hits as they are; but the sums of the client's in-memory engine depend on the size of its array."""
    if not is_local(index):
        return hits
    return [hit._replace(score=round(hit.score, 6)) for hit in hits]


def test_another_tenants_texts_never_show_in_scores(index: VectorIndex) -> None:
    index.upsert(NAME, [make_point(number, terms=(number % 5, number % 3 + 10)) for number in range(1, 40)])
    queries: list[tuple[int | None, tuple[int, ...]]] = [(None, (1, 11)), (4, (2, 10, 12)), (4, ())]
    before = [find(index, make_scope(1), near=near, terms=terms) for near, terms in queries]
    index.upsert(NAME, [make_point(number, terms=(1, 2, 10), tenant=2) for number in range(100, 400)])
    after = [find(index, make_scope(1), near=near, terms=terms) for near, terms in queries]
    assert all(before)
    assert [rounded(index, hits) for hits in after] == [rounded(index, hits) for hits in before]


def test_threads_write_and_search_together(index: VectorIndex) -> None:
    if is_local(index):
        pytest.skip("the client's in-memory engine is not thread-safe")
    failures: list[BaseException] = []

    def work(base: int) -> None:
        try:
            for step in range(5):
                index.upsert(NAME, [make_point(base + step * 10 + number) for number in range(10)])
                assert find(index, make_scope(1), near=base, terms=(7,))
        except BaseException as error:  # noqa: BLE001 - reported by the test itself
            failures.append(error)

    threads = [threading.Thread(target=work, args=(base,)) for base in (1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert index.count(NAME) == 150


class TestEmbedded:
    """What only the embedded index promises."""

    def test_everything_is_there_after_reopening(self, tmp_path: Path) -> None:
        index = edge(tmp_path)
        index.ensure(CollectionSpec(NAME, DIMENSION))
        index.upsert(NAME, [make_point(number, acl=number) for number in range(1, 6)])
        index.place(NAME, [point_name(1)], acl=9)
        before = find(index, make_scope(9, 2), terms=(7,))
        index.close()
        again = edge(tmp_path)
        assert find(again, make_scope(9, 2), terms=(7,)) == before
        assert again.count(NAME) == 5
        with pytest.raises(PointRefusedError):
            again.upsert(NAME, [make_point(7)._replace(dense=make_vector(7, 3))])
        again.close()

    def test_a_closed_index_opens_again_by_itself(self, tmp_path: Path) -> None:
        index = edge(tmp_path)
        index.ensure(CollectionSpec(NAME, DIMENSION))
        index.upsert(NAME, [make_point(1)])
        index.close()
        index.close()
        assert index.count(NAME) == 1
        index.close()

    def test_a_missing_collection_is_named(self, tmp_path: Path) -> None:
        index = edge(tmp_path)
        with pytest.raises(IndexUnavailableError, match="g7_none"):
            index.count("g7_none")
        index.close()

    def test_a_creation_that_was_cut_off_begins_again(self, tmp_path: Path) -> None:
        half = tmp_path / "index" / NAME / "shard" / "wal"
        half.mkdir(parents=True)
        (half / "leftover").write_bytes(b"x")
        index = edge(tmp_path)
        index.ensure(CollectionSpec(NAME, DIMENSION))
        index.upsert(NAME, [make_point(1)])
        assert index.count(NAME) == 1
        index.close()

    def test_a_second_process_is_refused(self, tmp_path: Path) -> None:
        index = edge(tmp_path)
        index.ensure(CollectionSpec(NAME, DIMENSION))
        told = run_python(
            f"""
            from pathlib import Path
            from embed.index.base import IndexUnavailableError
            from embed.index.edge import EdgeIndex
            try:
                EdgeIndex(Path({str(tmp_path / "index")!r})).count({NAME!r})
            except IndexUnavailableError as error:
                print(error.code, error.detail)
            """
        ).stdout
        assert told.startswith("index_unavailable another process holds the index")
        assert "ambit serve" in told
        index.close()

    def test_a_process_that_is_about_to_end_is_waited_for(self, tmp_path: Path) -> None:
        held = edge(tmp_path)
        held.ensure(CollectionSpec(NAME, DIMENSION))
        ending = threading.Timer(0.3, held.close)
        ending.start()
        after = edge(tmp_path)
        assert after.count(NAME) == 0
        after.close()
        ending.join()

    def test_a_kill_after_a_write_returned_loses_nothing(self, tmp_path: Path) -> None:
        ended = run_python(
            f"""
            import os, signal
            from pathlib import Path
            from embed.index.base import CollectionSpec
            from embed.index.edge import EdgeIndex
            from tests.factories.points import DIMENSION, make_point, point_name
            index = EdgeIndex(Path({str(tmp_path / "index")!r}))
            index.ensure(CollectionSpec({NAME!r}, DIMENSION))
            index.upsert({NAME!r}, [make_point(number) for number in range(1, 601)])
            index.place({NAME!r}, [point_name(1)], acl=9)
            index.delete({NAME!r}, [point_name(2)])
            os.kill(os.getpid(), signal.SIGKILL)
            """
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        index = edge(tmp_path)
        assert index.count(NAME) == 599
        assert chunks(find(index, make_scope(9), terms=(7,))) == {1}
        assert find(index, make_scope(1), near=600)[0].chunk == 600
        index.close()


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
