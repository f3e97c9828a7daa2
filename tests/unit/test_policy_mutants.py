"""A test of the tests: a policy engine with one fault must fail the agreement check on worlds fixed in advance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from core.db import Database
from policies import directory, epoch, nodes, scope, scope_nodes
from tests.factories.agreement import check, differences
from tests.factories.mutants import MUTANTS, Plant
from tests.factories.random_world import random_world
from tests.factories.world import WDoc, WEntry, WNode, World, WRule, WUser, build

SEEDS = range(8)


@pytest.fixture(autouse=True)
def _built_anew() -> Iterator[None]:
    """Statements that are put together once are put together with the fault, and again without it."""
    scope_nodes.statement.cache_clear()
    yield
    scope_nodes.statement.cache_clear()


def _worlds() -> list[World]:
    """A few random worlds, and one made to hold what is rare in them."""
    rare = World(
        users={"ana": WUser(), "bob": WUser()},
        groups={},
        nodes={
            "root": WNode("s", entries=(WEntry("everyone"), WEntry("user:bob", "deny"))),
            "shut": WNode("s", parent="root", closed=True),
            "below": WNode("s", parent="shut", mode="break", entries=(WEntry("everyone"),)),
            "plain": WNode("s", parent="root", admin=(WEntry("user:ana"),)),
            "break": WNode("s", parent="plain", mode="break"),
            "ghost": WNode("s", parent="root", entries=(WEntry("group:ghost", "deny"),)),
            "late": WNode("s", mode="break", entries=(WEntry("user:ana", end=-60),)),
        },
        documents={key: WDoc(key) for key in ("root", "below", "plain", "break", "ghost", "late")},
    )
    return [rare, _ruled(), *(random_world(Random(seed)) for seed in SEEDS)]


def _ruled() -> World:
    """A world in which every way of a rule to err or to be overruled decides something."""
    attributes = {"clearance": "internal", "department": "law", "level": 0}
    return World(
        users={
            "ana": WUser(attributes=attributes),
            "bob": WUser(attributes={"clearance": "cosmic", "level": 2}),
            "cy": WUser(attributes={"clearance": "public"}),
            "dan": WUser(),
        },
        groups={},
        nodes={
            "root": WNode("s", entries=(WEntry("everyone"),)),
            "high": WNode("s", parent="root", labels={"classification": "restricted"}),
            "low": WNode("s", parent="high", labels={"classification": "public"}),
            "odd": WNode("s", parent="root", labels={"classification": "secret"}),
            "freed": WNode("s", parent="high", admin_labels={"classification": "public"}),
            "bare": WNode("s", labels={"department": "law"}),
            "shut": WNode("s", parent="bare", closed=True),
            "free": WNode("s", parent="bare", mode="break", labels={"department": "hr"}),
        },
        documents={key: WDoc(key) for key in ("root", "high", "low", "odd", "freed", "bare", "shut", "free")},
        rules=(
            WRule("forbid", "rank(document.classification) > rank(principal.clearance)"),
            WRule("permit", "has(document.department) && document.department == principal.department"),
            WRule("permit", "document.department == 'hr' && 10 / principal.level > 4"),
            WRule("forbid", "document.classification == 'public'", enforced=False),
        ),
    )


def _differ(db: Database) -> bool:
    return any(check(db, world) for world in _worlds())


def test_the_engine_itself_passes(sqlite_db: Database) -> None:
    assert [line for world in _worlds() for line in check(sqlite_db, world)] == []


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__.strip("_"))
def test_a_planted_fault_is_found(sqlite_db: Database, monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    plant(monkeypatch)
    assert _differ(sqlite_db)


@pytest.mark.parametrize("faulty", [False, True])
def test_a_change_that_forgets_the_epoch_is_found(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch, faulty: bool
) -> None:
    before = World(
        users={"ana": WUser(groups=("staff",))},
        groups={"staff": ()},
        nodes={"root": WNode("s", entries=(WEntry("group:staff"),))},
        documents={"note": WDoc("root")},
    )
    with sqlite_db.write() as session:
        built = build(session, before)
    cache = scope.ScopeCache()
    assert differences(sqlite_db, before, built, cache) == []
    if faulty:
        for module in (directory, nodes, epoch):
            monkeypatch.setattr(module, "bump", epoch.current)
    with sqlite_db.write() as session:
        directory.set_containers(session, built.tenant, "user:ana", [])
    after = replace(before, users={"ana": WUser()})
    assert bool(differences(sqlite_db, after, built, cache)) is faulty
