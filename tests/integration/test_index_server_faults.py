"""The server adapter while its server is killed, away, frozen, or takes a write and does not finish it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from embed.index.base import CollectionSpec, IndexUnavailableError, SearchRequest
from embed.index.server import ServerIndex
from tests.factories.children import wait_for
from tests.factories.points import DIMENSION, make_point, make_sparse, make_vector, point_name
from tests.factories.qdrant.process import PrivateQdrant
from tests.factories.scopes import make_scope

NAME = "g1_test"
KILLS = 5


@pytest.fixture
def server() -> Iterator[PrivateQdrant]:
    """A server of the test's own, to be killed."""
    with PrivateQdrant() as made:
        yield made


@pytest.fixture(scope="module")
def lasting() -> Iterator[PrivateQdrant]:
    """One that no test harms."""
    with PrivateQdrant() as made:
        yield made


@pytest.fixture
def index(lasting: PrivateQdrant) -> Iterator[ServerIndex]:
    made = lasting.index()
    made.drop(NAME)
    made.ensure(CollectionSpec(NAME, DIMENSION))
    yield made
    made.close()


def answers(index: ServerIndex) -> bool:
    try:
        index.count(NAME)
    except IndexUnavailableError:
        return False
    return True


class Writer:
    """Writes points one batch after another, moves and removes some, and notes what was acknowledged."""

    def __init__(self, index: ServerIndex) -> None:
        self._index = index
        self._over = threading.Event()
        self.there: dict[str, int] = {}
        self.gone: set[str] = set()
        self.doubtful: set[str] = set()
        self.failed: list[IndexUnavailableError] = []
        self.strange: list[BaseException] = []
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(60)

    def _write(self) -> None:
        number = 1
        while not self._over.is_set():
            batch = range(number, number + 20)
            number += 20
            try:
                self._round([point_name(one) for one in batch], batch)
            except IndexUnavailableError as error:
                self.failed.append(error)
                time.sleep(0.02)
            except BaseException as error:  # noqa: BLE001 - reported by the test itself
                self.strange.append(error)
                return

    def _round(self, names: list[str], numbers: range) -> None:
        """What is in doubt while a call is under way is no longer once it returned."""
        self.doubtful.update(names)
        self._index.upsert(NAME, [make_point(one) for one in numbers])
        self.there.update(dict.fromkeys(names, 1))
        self.doubtful.difference_update(names[10:])
        self._index.place(NAME, names[:5], acl=2)
        self.there.update(dict.fromkeys(names[:5], 2))
        self.doubtful.difference_update(names[:5])
        self._index.delete(NAME, names[5:10])
        for name in names[5:10]:
            del self.there[name]
        self.gone.update(names[5:10])
        self.doubtful.difference_update(names[5:10])


def test_what_was_acknowledged_outlives_every_kill(server: PrivateQdrant) -> None:
    index = server.index()
    index.ensure(CollectionSpec(NAME, DIMENSION))
    writer = Writer(index)
    for kill in range(KILLS):
        seen = len(writer.there)
        wait_for(lambda seen=seen: len(writer.there) > seen + 20 or writer.strange)
        server.kill()
        wait_for(lambda kill=kill: len(writer.failed) > kill or writer.strange)
        server.start()
    wait_for(lambda: answers(index))
    writer.stop()
    assert writer.strange == []
    assert {error.code for error in writer.failed} == {"index_unavailable"}
    found = {name: payload.acl for name, payload in index.scan(NAME)}
    sure = {name: acl for name, acl in writer.there.items() if name not in writer.doubtful}
    assert len(sure) > KILLS * 10
    assert {name: found.get(name) for name in sure} == sure
    assert writer.gone - writer.doubtful
    assert not found.keys() & (writer.gone - writer.doubtful)
    index.close()


def test_a_server_that_was_away_for_long_is_found_again_soon(server: PrivateQdrant) -> None:
    index = server.index()
    index.ensure(CollectionSpec(NAME, DIMENSION))
    index.upsert(NAME, [make_point(1)])
    server.kill()
    tries = 0
    ends = time.monotonic() + 6
    while time.monotonic() < ends:
        assert not answers(index)
        tries += 1
        time.sleep(0.05)
    server.start()
    wait_for(lambda: answers(index), limit_s=5)
    assert tries > 20
    assert index.count(NAME) == 1
    index.close()


def test_a_server_that_is_away_at_first_is_used_when_it_comes(server: PrivateQdrant) -> None:
    server.kill()
    index = server.index(timeout_s=2)
    with pytest.raises(IndexUnavailableError, match="UNAVAILABLE") as failed:
        index.ensure(CollectionSpec(NAME, DIMENSION))
    assert (failed.value.code, failed.value.transient, failed.value.status) == ("index_unavailable", True, 503)
    server.start()
    wait_for(lambda: ensured(index), limit_s=30)
    index.close()


def ensured(index: ServerIndex) -> bool:
    try:
        index.ensure(CollectionSpec(NAME, DIMENSION))
    except IndexUnavailableError:
        return False
    return True


def test_a_frozen_server_costs_one_deadline_and_no_more_for_many_at_once(server: PrivateQdrant) -> None:
    index = server.index(timeout_s=1)
    index.ensure(CollectionSpec(NAME, DIMENSION))
    fresh = server.index(timeout_s=1)
    told: list[str] = []

    def ask(one: ServerIndex) -> None:
        try:
            one.search(NAME, SearchRequest(make_vector(1), make_sparse(7), limit=3), make_scope(1))
        except IndexUnavailableError as error:
            told.append(error.detail)

    with server.frozen():
        threads = [threading.Thread(target=ask, args=(one,)) for one in [index, *[fresh] * 30]]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(told) == len(threads), limit_s=15)
    for thread in threads:
        thread.join()
    assert {text.rpartition(" ")[2] for text in told} == {"StatusCode.DEADLINE_EXCEEDED"}
    assert answers(index)
    assert answers(fresh)
    index.close()
    fresh.close()


@pytest.mark.parametrize("status", ["Acknowledged", "WaitTimeout"])
@pytest.mark.parametrize("call", ["Upsert", "SetPayload", "Delete", "CreateFieldIndex"])
def test_a_write_that_is_only_taken_does_not_count_as_done(
    lasting: PrivateQdrant, index: ServerIndex, call: str, status: str
) -> None:
    index.upsert(NAME, [make_point(1)])
    writes = {
        "Upsert": lambda: index.upsert(NAME, [make_point(2)]),
        "SetPayload": lambda: index.place(NAME, [point_name(1)], acl=2),
        "Delete": lambda: index.delete(NAME, [point_name(1)]),
        "CreateFieldIndex": lambda: index.ensure(CollectionSpec(NAME, DIMENSION)),
    }
    lasting.fail_next(f"Points/{call}", update=status)
    with pytest.raises(IndexUnavailableError, match="did not finish"):
        writes[call]()
    writes[call]()


@pytest.mark.parametrize(
    ("code", "trailing"),
    [
        ("RESOURCE_EXHAUSTED", {"retry-after": "3"}),
        ("RESOURCE_EXHAUSTED", {}),
        ("UNAVAILABLE", {}),
        ("INTERNAL", {}),
        ("INVALID_ARGUMENT", {}),
        ("PERMISSION_DENIED", {}),
    ],
)
def test_whatever_the_server_says_is_one_stable_error(
    lasting: PrivateQdrant, index: ServerIndex, code: str, trailing: dict[str, str]
) -> None:
    lasting.fail_next("Points/Query", code, **trailing)
    with pytest.raises(IndexUnavailableError) as failed:
        index.search(NAME, SearchRequest(None, make_sparse(7), limit=3), make_scope(1))
    assert failed.value.code == "index_unavailable"
    assert "as the test asked for" not in failed.value.detail
    assert answers(index)


def test_a_missing_collection_is_named(index: ServerIndex) -> None:
    for call in (lambda: index.count("g7_none"), lambda: index.upsert("g7_none", [make_point(1)])):
        with pytest.raises(IndexUnavailableError, match="g7_none"):
            call()


def test_a_collection_that_was_lost_is_made_anew_in_another_shape(lasting: PrivateQdrant, index: ServerIndex) -> None:
    index.upsert(NAME, [make_point(1)])
    other = lasting.index()
    other.drop(NAME)
    other.close()
    index.ensure(CollectionSpec(NAME, DIMENSION + 1))
    index.upsert(NAME, [make_point(1, dense=make_vector(1, DIMENSION + 1))])
    assert index.count(NAME) == 1


def test_a_call_that_a_close_overtakes_fails_like_any_other_and_the_next_one_connects_again(index: ServerIndex) -> None:
    def overtaken() -> None:
        with index._calls(NAME) as client:
            index.close()
            client.count(NAME)

    with pytest.raises(IndexUnavailableError, match="was closed"):
        overtaken()
    with pytest.raises(ValueError, match="a fault of ours"), index._calls(NAME):
        raise ValueError("a fault of ours")
    assert answers(index)
