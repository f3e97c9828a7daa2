"""Access while it changes: after every change, and whenever time has passed, all who must agree do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.db import now
from policies import scope_nodes
from tests.factories.access_machine import CHANGES, run
from tests.factories.access_stage import Stage
from tests.factories.census import missing
from tests.factories.installation import Installation
from tests.factories.mutants import THE_FIVE, Plant
from tests.factories.stopped_clock import BEGAN
from tests.integration.services import postgres_database

EXAMPLES, STEPS = 6, 18
EXAMPLES_SERVER = 2
MUST = (
    "entry that ended", "opened", "closed", "readable while it waits", "point moved", "document shown",
    "Cedar says True", "Cedar says False",
)  # fmt: skip
EXAMPLES_FULL, STEPS_FULL = 60, 30
ELSEWHERE = {
    "rule about the app", "rule about the request", "rule that turns during the run", "time opens a document",
    "time closes a document",
}  # fmt: skip
"""What the random worlds hold: rules that have no twin in Cedar, and documents looked at before and after a time."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    yield from _stage(tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def on_server(tmp_path_factory: pytest.TempPathFactory, postgres_template: str) -> Iterator[Stage]:
    """The same on PostgreSQL."""
    with postgres_database(postgres_template) as url:
        yield from _stage(tmp_path_factory.mktemp("machine"), database_url=SecretStr(url))


def _stage(home: Path, **settings: Any) -> Iterator[Stage]:
    installation = Installation(home, **settings)
    yield Stage(installation)
    installation.close()


def test_all_agree_after_every_change(stage: Stage) -> None:
    counted = run(stage, examples=EXAMPLES, steps=STEPS)
    assert _never(counted) == []


@pytest.mark.integration
def test_all_agree_after_every_change_on_postgresql(on_server: Stage) -> None:
    """A small part: whatever differs between the databases shows in the long form."""
    counted = run(on_server, examples=EXAMPLES_SERVER, steps=STEPS)
    with on_server.db.read() as session:
        assert now(session) == on_server.clock.now > BEGAN, "the clock of the server does not stand where it should"
    assert counted["document shown"] > 0
    assert counted["opened"] > 0
    assert counted["closed"] > 0


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["stage", pytest.param("on_server", marks=pytest.mark.integration)])
def test_all_agree_after_very_many_changes(request: pytest.FixtureRequest, name: str) -> None:
    counted = run(request.getfixturevalue(name), examples=EXAMPLES_FULL, steps=STEPS_FULL)
    assert [*_never(counted), *(kind for kind in missing(counted) if kind not in ELSEWHERE)] == []


@pytest.mark.parametrize("plant", THE_FIVE, ids=lambda plant: plant.__name__)
def test_a_planted_fault_stops_the_machine(stage: Stage, monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    """A test of the tests: within the very runs that the sound engine passes."""
    scope_nodes.statement.cache_clear()
    plant(monkeypatch)
    try:
        with pytest.raises(AssertionError):
            run(stage, examples=EXAMPLES, steps=STEPS, shrink=False)
    finally:
        scope_nodes.statement.cache_clear()


def _never(counted: Counter[str]) -> list[str]:
    """What must occur for the run to prove anything."""
    print("in the runs:", *(f"{name} {count}," for name, count in sorted(counted.items())))
    changes = [f"change: {name}" for name in (*CHANGES, "time")]
    return [name for name in (*changes, *MUST) if not counted[name]]
