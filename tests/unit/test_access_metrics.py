"""What the metrics tell of how old access data is: the same as the decision."""

from __future__ import annotations

import math

import pytest

from core.db import Database
from ingest.metrics import WorkMetrics
from policies.decide import source_gates
from policies.subject import Caller, resolve_subject
from tests.factories.world import WNode, World, WSource, WUser, build

LIMIT = 3600


@pytest.mark.parametrize(
    ("crawled", "stale", "ratio"),
    [((60, 60), 0, 60 / LIMIT), ((60, LIMIT), 1, 1.0), ((2 * LIMIT, LIMIT), 2, 2.0), ((None, 60), 1, math.inf)],
)
def test_sources_too_old_are_counted_as_they_are_refused(
    db: Database, crawled: tuple[int | None, int], stale: int, ratio: float
) -> None:
    first, second = (WSource(max_age=LIMIT, crawled=one) for one in crawled)
    deleted, unlimited = WSource(max_age=LIMIT, crawled=None, state="deleted"), WSource(crawled=9 * LIMIT)
    sources = {"a": first, "b": second, "gone": deleted, "free": unlimited}
    world = World(
        users={"ana": WUser()}, groups={}, sources=sources, nodes={key: WNode(key) for key in sources}, documents={}
    )
    with db.write() as session:
        built = build(session, world)
        shut = source_gates(session, resolve_subject(session, Caller(built.tenant, "ana")))
    told = {family.name: family.samples[0].value for family in WorkMetrics(db).collect() if family.samples}
    assert told["ambit_sources_stale"] == stale == list(shut.values()).count("access_stale")
    assert told["ambit_access_age_ratio"] == pytest.approx(ratio, abs=0.01)
