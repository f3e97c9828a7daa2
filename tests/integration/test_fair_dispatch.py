"""Claims go round over sources; what waits is told as metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import select, update

from core.clock import db_in
from core.tables import Item, Run
from ingest.dispatch import claim_items
from ingest.metrics import WorkMetrics
from ingest.stages import STAGES
from tests.factories.installation import Installation
from tests.factories.scripted import ScriptedSource

BIG, SMALL = 60, 3


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """A big source that was listed first, and a small one after it."""
    chosen: dict[str, Any] = {}
    if request.param == "postgresql":
        chosen["database_url"] = request.getfixturevalue("postgres_url")
    installation = Installation(tmp_path / "data", **chosen)
    sources = {"big": ScriptedSource(page=100), "small": ScriptedSource(page=100)}
    installation.runtime.pipeline.connectors.open = lambda one: sources[one.key]  # type: ignore[method-assign]
    for key, count in (("big", BIG), ("small", SMALL)):
        installation.add_source(key, "folder", {"path": "."})
        for number in range(count):
            sources[key].put(f"{key}{number:02}", f"Duck {number}.")
        installation.start(key)
        while STAGES["list"](installation.runtime.pipeline):
            pass
    yield installation
    installation.close()


def test_a_small_source_is_through_before_a_big_one_is_begun_in_earnest(place: Installation) -> None:
    taken: list[str] = []
    while sum(one.startswith("small") for one in taken) < SMALL:
        with place.db.write() as session:
            claims = claim_items(session, "parse", limit=2, lease_s=60)
            ids = [one.id for one in claims]
            taken += session.scalars(select(Item.external_id).where(Item.id.in_(ids))).all()
            session.execute(update(Item).where(Item.id.in_(ids)).values(state="done", lease_until=None))
    assert len(taken) == 2 * SMALL, "one of each in turn, though the big source waits longer"


def test_what_waits_and_for_how_long_is_told(place: Installation) -> None:
    with place.db.write() as session:
        session.execute(update(Run).values(created_at=db_in(-90)))
        first = claim_items(session, "parse", limit=1, lease_s=60)[0]
        session.execute(update(Item).where(Item.id != first.id).values(not_before=db_in(-30)))
    registry = CollectorRegistry()
    registry.register(WorkMetrics(place.db))
    told = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in generate_latest(registry).decode().splitlines()
        if not line.startswith("#")
    }
    assert told['ambit_queue_items{stage="parse",state="pending"}'] == BIG + SMALL - 1
    assert told['ambit_queue_items{stage="parse",state="leased"}'] == 1
    assert told['ambit_items{state="pending"}'] == BIG + SMALL - 1
    assert told["ambit_queue_oldest_seconds"] >= 90
    assert 30 <= told['ambit_stage_oldest_seconds{stage="parse"}'] < told["ambit_queue_oldest_seconds"]
