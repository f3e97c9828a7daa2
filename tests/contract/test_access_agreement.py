"""All who say what a person may read say the same: the decision, the scope, a real index, explain, and the oracle."""

from __future__ import annotations

import importlib
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from core.db import Database
from policies import decide, scope, subject
from policies.explain import Explanation, explain
from tests.factories import oracle
from tests.factories.agreement import PointsOf, caller_of, callers, check, differences, found
from tests.factories.cases import FOLDER, GUIDE, Case, guide_examples, load_cases
from tests.factories.census import FEATURES, features, missing
from tests.factories.qdrant.process import PrivateQdrant
from tests.factories.random_world import PERIOD, random_world
from tests.factories.stopped_clock import BEGAN, StoppedClock
from tests.factories.world import Built, World, build

CASES = load_cases()
EXAMPLES = 40
EXAMPLES_FULL = 1500


@dataclass(frozen=True)
class Place:
    """Where worlds are written: SQL, a real index, and a clock where the test may move it."""

    db: Database
    points: PointsOf
    clock: StoppedClock | None = None


@pytest.fixture(scope="module")
def worlds(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One migrated SQLite file for all worlds here: each is a tenant of its own, as they are in life."""
    yield from _database(sqlite_template, tmp_path_factory.mktemp("worlds"))


@pytest.fixture
def timed(sqlite_template: Path, tmp_path: Path) -> Iterator[Place]:
    """SQLite and an index of the test's own, under a clock that the test moves."""
    for db in _database(sqlite_template, tmp_path):
        for points in _index(tmp_path / "points"):
            yield Place(db, points, StoppedClock(db))


def _database(template: Path, folder: Path) -> Iterator[Database]:
    path = folder / "ambit.db"
    shutil.copyfile(template, path)
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PointsOf]:
    """A real index beside `worlds`."""
    yield from _index(tmp_path_factory.mktemp("points"))


@pytest.fixture(scope="module")
def served_points() -> Iterator[PointsOf]:
    """The same asked over a socket, by filters that the server's adapter words."""
    with PrivateQdrant() as server:
        index = server.index()
        yield PointsOf(index)
        index.close()


@pytest.fixture(params=["points", "served_points"])
def each_index(request: pytest.FixtureRequest) -> PointsOf:
    """Either kind of index in turn."""
    chosen: PointsOf = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def postgres_points(tmp_path: Path) -> Iterator[PointsOf]:
    """A real index beside a PostgreSQL of the test's own, whose ids begin anew."""
    yield from _index(tmp_path / "points")


def _index(path: Path) -> Iterator[PointsOf]:
    """The embedded index; skips only while there is none."""
    try:
        edge = importlib.import_module("embed.index.edge")
    except ModuleNotFoundError as missing:
        if missing.name != "embed.index.edge":
            raise
        pytest.skip("there is no embedded index yet")
    index = edge.EdgeIndex(path, durable=False)
    yield PointsOf(index)
    index.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestCases:
    """Each case, by each of those who must agree."""

    def test_decide(self, worlds: Database, case: Case) -> None:
        built = _write(worlds, case.world)
        with worlds.read() as session:
            for one in case.checks:
                who = _asking(session, case.world, built, one.user, one.app)
                verdict = decide.decide(session, who, [built.documents[one.document]])[built.documents[one.document]]
                assert verdict.allowed == one.allowed, one
                assert one.reason in {None, verdict.reason}, one
                assert one.reported in {None, tuple(rule.key for rule in verdict.reported)}, one

    def test_scope_through_a_real_index(self, worlds: Database, case: Case, each_index: PointsOf) -> None:
        built = _write(worlds, case.world)
        each_index.put(case.world, built)
        with worlds.read() as session:
            for one in case.checks:
                who = _asking(session, case.world, built, one.user, one.app)
                hits = each_index.found(scope.readable(session, who))
                if one.allowed or _says_all(case.world, one.document):
                    assert (built.documents[one.document] in hits) == one.allowed, one

    def test_explain(self, worlds: Database, case: Case) -> None:
        built = _write(worlds, case.world)
        with worlds.read() as session:
            for one in case.checks:
                who = _asking(session, case.world, built, one.user, one.app)
                told = explain(session, who, built.documents[one.document])
                assert told.allowed == one.allowed, one
                assert one.reason in {None, told.reason}, one
                assert one.reported in {None, told.reported}, one

    def test_oracle(self, case: Case) -> None:
        for one in case.checks:
            assert oracle.allowed(case.world, one.user, one.app, one.document) == one.allowed, one


def test_the_cases_are_many_and_each_names_what_it_fixes() -> None:
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.design for case in CASES)
    assert guide_examples()


def _write(db: Database, world: World) -> Built:
    with db.write() as session:
        return build(session, world)


def _asking(session: Session, world: World, built: Built, user: str, app: str | None) -> subject.Subject:
    return subject.resolve_subject(session, caller_of(world, built, user, app))


def _says_all(world: World, document: str) -> bool:
    """Whether a point can say all that decides; what waits or is not live is the re-check's to refuse."""
    doc = world.documents[document]
    return doc.pending is None and doc.state == "live"


def _disagreements(place: Place, world: World, *, directory_first: bool) -> Iterator[str]:
    """Where those who must agree differ, the real index among them: as soon as the world stands, and, by the scopes
    that are cached then, when its times have come.
    """
    if place.clock:
        place.clock.move(0)
    with place.db.write() as session:
        built = build(session, world, directory_first=directory_first)
    place.points.put(world, built)
    cache = scope.ScopeCache()
    for at in (0, PERIOD) if place.clock else (0,):
        if place.clock:
            place.clock.move(at)
        yield from differences(place.db, world, built, cache, at=at)
        yield from _index_differences(place, world, built, cache)


def _index_differences(place: Place, world: World, built: Built, cache: scope.ScopeCache) -> Iterator[str]:
    own = [key for key in built.documents if key not in world.foreign]
    with place.db.read() as session:
        for person, app in callers(world):
            who = subject.resolve_subject(session, caller_of(world, built, person, app))
            selected = scope.readable(session, who, cache)
            places = {key: world.documents[key].node for key in own}
            expected = {
                built.documents[key]
                for key, node in places.items()
                if found(selected, built.nodes[node], built.sources[world.nodes[node].source])
            }
            if place.points.found(selected) != expected:
                yield f"{person} through {app}: the index does not find what the scope stands for"


def _run(place: Place, examples: int) -> Counter[str]:
    """Random worlds until `examples` have agreed; returns how often each kind occurred in them."""
    counted: Counter[str] = Counter()
    answers: Counter[bool] = Counter()

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(seed=st.integers(0, 2**32 - 1), directory_first=st.booleans())
    def agrees(seed: int, directory_first: bool) -> None:
        world = replace(random_world(Random(seed)), began=place.clock and BEGAN)
        counted.update(features(world))
        for key in world.documents:
            before, after = (oracle.allowed(world, "ana", None, key, at) for at in (0, PERIOD))
            answers[before] += 1
            counted[f"time {'opens' if after else 'closes'} a document"] += before != after
        assert list(_disagreements(place, world, directory_first=directory_first)) == []

    agrees()
    assert answers.keys() == {True, False}
    print("in the worlds:", *(f"{name} {count}," for name, count in sorted(counted.items())))
    return counted


def test_random_worlds_agree(timed: Place) -> None:
    """At fixed seeds; every kind of thing that the design speaks of occurs in them, or they prove nothing about it."""
    assert missing(_run(timed, EXAMPLES)) == []


@pytest.mark.integration
def test_random_worlds_agree_on_postgresql(postgres_db: Database, postgres_points: PointsOf) -> None:
    _run(Place(postgres_db, postgres_points), EXAMPLES // 3)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_very_many_random_worlds_agree(timed: Place) -> None:
    assert missing(_run(timed, EXAMPLES_FULL)) == []


def test_a_kind_that_no_world_holds_is_missed() -> None:
    counted = features(random_world(Random(1)))
    assert missing(counted) == sorted(FEATURES - counted.keys())
    assert missing(Counter(FEATURES)) == []


def test_the_explanation_of_a_random_world_holds_together(worlds: Database) -> None:
    """Explain's own account of which entries count leads to the verdict that decide gave."""
    for seed in range(12):
        world = random_world(Random(seed))
        built = _write(worlds, world)
        with worlds.read() as session:
            for person, app in callers(world):
                who = subject.resolve_subject(session, caller_of(world, built, person, app))
                for document in built.documents.values():
                    _holds_together(explain(session, who, document))


def _holds_together(told: Explanation) -> None:
    counted = [entry for node in (*told.chain, *told.waiting) for entry in node.entries if entry.counts]
    open_gate = told.gate is not None and told.gate.shut is None and told.reason not in {"nobody", "not_current"}
    if told.reason in {"permitted", "forbidden", "forbid_erred"}:
        assert told.rule is not None
        assert told.rule.counts
        assert told.rule.enforced
        assert told.rule.effect == ("permit" if told.allowed else "forbid")
        assert told.entry is None
    elif told.allowed:
        assert told.entry is not None
        assert told.entry.counts
        assert told.entry.effect == "allow"
        assert all(entry.effect == "allow" for entry in counted)
        assert told.path[0] == told.person
        assert told.path[-1] == told.entry.principal
    elif told.reason in {"denied", "deny_unresolved"}:
        assert told.entry in counted
        assert told.entry is not None
        assert told.entry.effect == "deny"
    elif open_gate and told.reason == "no_entry" and not told.waiting:
        narrowed = any(node.mode == "narrow" for node in told.chain)
        assert narrowed or not counted
    assert told.as_dict()["reason"] == told.reason


@pytest.mark.parametrize("seed", range(3))
def test_a_scope_from_the_cache_agrees_too(worlds: Database, seed: int) -> None:
    world = random_world(Random(seed))
    built = _write(worlds, world)
    cache = scope.ScopeCache()
    assert differences(worlds, world, built, cache) == []
    assert differences(worlds, world, built, cache) == []


def test_check_finds_nothing_in_the_worlds_that_the_mutants_are_given(worlds: Database) -> None:
    assert [line for seed in range(8) for line in check(worlds, random_world(Random(seed)))] == []


def test_every_reading_has_its_row_in_the_guide_and_every_row_its_case() -> None:
    rows = dict(re.findall(r"\[([^\]]+)\]\(\.\./tests/cases/policies/(\w+)\.yaml\)", GUIDE.read_text()))
    read = {case.name for case in CASES if case.reading}
    assert rows.keys() == read
    for name, file in rows.items():
        assert f"- name: {name}\n" in (FOLDER / f"{file}.yaml").read_text()


def test_the_guide_names_every_reason_of_a_verdict() -> None:
    documented = set(re.findall(r"`(\w+)`", GUIDE.read_text().split("The reasons:")[1]))
    stated = set(re.findall(r"\w+", (decide.Verdict.__doc__ or "").split("one of: ")[1]))
    assert documented == stated
