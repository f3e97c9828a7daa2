"""An index that is away, a connector that lies, a clock that is set back, while a reader asks: after each, one more
sync ends with exactly what the source holds, and no answer was a mixture or a gap.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.tables import Item
from embed.index.base import Hit
from ingest.dispatch import claim_items
from ingest.runner import Runner
from ingest.stages import STAGES
from tests.factories.children import wait_for
from tests.factories.fault_child import SETTINGS, free_port, new_key, served
from tests.factories.faults import Clock, FlakyIndex, Liar
from tests.factories.installation import ENDED, Installation
from tests.factories.notes import Notes, Reader

NOTES = 24


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes", NOTES, coming=3)


@pytest.fixture
def place(tmp_path: Path, notes: Notes) -> Iterator[Installation]:
    made = Installation(tmp_path / "data", **SETTINGS)
    made.add_folder(notes.folder)
    made.add_user("ana")
    made.sync()
    yield made
    made.close()


@contextmanager
def read_throughout(place: Installation, notes: Notes) -> Iterator[Reader]:
    port = free_port()
    with served(place, port), Reader(f"http://127.0.0.1:{port}", new_key(place), notes) as reader:
        yield reader


@contextmanager
def working(place: Installation) -> Iterator[None]:
    """The worker's threads, which outlive what fails."""
    runner = Runner(place.runtime.pipeline)
    runner.start()
    try:
        yield
    finally:
        runner.stop()


def ended(place: Installation, run: int) -> bool:
    return place.run(run).state in ENDED


def check_whole(place: Installation, notes: Notes) -> None:
    run = place.sync()
    assert run.state == "succeeded", run.error_detail
    assert place.documents() == notes.truth()
    place.check_consistent()


def test_an_index_that_is_away_loses_nothing(place: Installation, notes: Notes) -> None:
    chance = random.Random(11)
    index = FlakyIndex(place.runtime.stack.index)
    place.runtime.stack.__dict__["_index"] = index
    with read_throughout(place, notes) as reader:
        for _ in range(4):
            notes.change(chance, 8)
            index.share = 0.4
            with working(place):
                run = place.start()
                wait_for(partial(ended, place, run))
            index.share = 0.0
            check_whole(place, notes)
    assert index.failures > 10
    reader.check(least=10)


def test_an_index_slower_than_a_lease_loses_nothing(tmp_path: Path, notes: Notes) -> None:
    place = Installation(tmp_path / "data", lease_s=1, **SETTINGS)
    try:
        place.add_folder(notes.folder)
        place.add_user("ana")
        index = FlakyIndex(place.runtime.stack.index)
        place.runtime.stack.__dict__["_index"] = index
        index.share, index.slow_s = 0.5, 1.2
        with working(place), working(place):
            place.start()
            wait_for(lambda: index.failures >= 3)
            index.share = 0.0
            wait_for(lambda: not place.open_items())
        check_whole(place, notes)
    finally:
        place.close()


@pytest.mark.parametrize(("top_k", "swaps"), [(3, 1), (20, 1), (20, 3)])
def test_a_version_swapped_between_search_and_recheck_leaves_no_gap(
    place: Installation, notes: Notes, monkeypatch: pytest.MonkeyPatch, top_k: int, swaps: int
) -> None:
    """The other notes alone would fill the answer."""
    search, left = place.runtime.stack.search, swaps

    def overtaken(*arguments: Any, **named: Any) -> list[Hit]:
        nonlocal left
        hits = search(*arguments, **named)
        if left:
            left -= 1
            notes.write(7)
            place.sync()
        return hits

    monkeypatch.setattr(place.runtime.stack, "search", overtaken)
    found = {one.text for one in place.search("ana", "n007x part", top_k=top_k)}
    assert found.issuperset(Notes.paragraphs(7, notes.revisions[7]))
    assert len(found) == top_k


def test_what_stays_behind_of_old_versions_asks_for_one_more_search_alone(
    place: Installation, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is purged here, so the old points are found each time."""
    search, searches = place.runtime.stack.search, list[Any]()

    def counted(*arguments: Any, **named: Any) -> list[Hit]:
        searches.append(arguments)
        return search(*arguments, **named)

    notes.write(7)
    place.start()
    for stage in ("list", "parse", "encode", "finish"):
        STAGES[stage](place.runtime.pipeline)
    monkeypatch.setattr(place.runtime.stack, "search", counted)
    found = {one.text for one in place.search("ana", "n007x part", top_k=3)}
    assert found == set(Notes.paragraphs(7, notes.revisions[7]))
    assert len(searches) == 2


def test_a_connector_that_lies_loses_nothing(
    place: Installation, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, liars = random.Random(12), list[Liar]()
    honest_open = place.runtime.pipeline.connectors.open

    def open_liar(source: Any) -> Any:
        if not liars:
            liars.append(Liar(honest_open(source)))
        return liars[0]

    monkeypatch.setattr(place.runtime.pipeline.connectors, "open", open_liar)
    with read_throughout(place, notes) as reader:
        for _ in range(6):
            notes.change(chance, 8)
            place.sync()
        liars[0].honest = True
        check_whole(place, notes)
    assert liars[0].lies >= 6
    reader.check(least=10)


def test_a_connector_that_raises_what_it_likes_ends_its_run(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when its lease ends, and not for ever."""

    class Broken:
        def changes(self, cursor: Any) -> Any:
            raise KeyError("CANARY-7361")

    monkeypatch.setattr(place.runtime.pipeline.connectors, "open", lambda source: Broken())
    run = place.sync(limit_s=20)
    assert (run.state, run.error_code) == ("failed", "source_unreachable")
    assert "CANARY" not in (run.error_detail or "")


def stuck(place: Installation) -> int:
    """A run whose items are all held by a worker that is dead, or wait for their next try."""
    run = place.start()
    STAGES["list"](place.runtime.pipeline)
    with place.db.write() as session:
        claims = claim_items(session, "parse", limit=100, lease_s=60)
        assert len(claims) > 4
        for held in claims[::2]:
            item = session.get_one(Item, held.id)
            item.state, item.lease_until = "waiting", None
    return run


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def timed(request: pytest.FixtureRequest, tmp_path: Path, notes: Notes) -> Iterator[tuple[Installation, Clock]]:
    """An installation and the clock of its database."""
    chosen = {} if request.param == "sqlite" else {"database_url": request.getfixturevalue("postgres_url")}
    made = Installation(tmp_path / "data", **SETTINGS, **chosen)
    made.add_folder(notes.folder)
    made.add_user("ana")
    clock = Clock(made.db)
    made.sync()
    yield made, clock
    made.close()


def test_a_clock_that_is_set_back_makes_nothing_wait_for_its_return(
    timed: tuple[Installation, Clock], notes: Notes
) -> None:
    place, clock = timed
    chance = random.Random(13)
    with read_throughout(place, notes) as reader:
        for back_s in (-7200.0, -86400.0 * 400):
            notes.change(chance, 8)
            stuck(place)
            clock.move(back_s)
            place.drain(limit_s=30)
            check_whole(place, notes)
            notes.change(chance, 8)
            check_whole(place, notes)
    reader.check(least=10)


def test_a_clock_that_is_set_forward_does_nothing_twice(timed: tuple[Installation, Clock], notes: Notes) -> None:
    place, clock = timed
    notes.change(random.Random(14), 8)
    stuck(place)
    clock.move(86400.0)
    place.drain(limit_s=30)
    check_whole(place, notes)
