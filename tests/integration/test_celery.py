"""The same stages as Celery tasks, over RabbitMQ and over Redis, on PostgreSQL, in several processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import select

from core.tables import Item, WorkerBeat
from ingest.metrics import WorkMetrics
from ingest.presence import fault, living
from tests.factories.children import Child, wait_for
from tests.factories.fleet import Fleet, ducks
from workers.app import queue_names

pytestmark = pytest.mark.integration
FILES = 40


@pytest.fixture(params=["rabbitmq_url", "redis_url"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> Iterator[Fleet]:
    broker = request.getfixturevalue(request.param)
    with Fleet(tmp_path, database_url=postgres_url, broker_url=broker) as made:
        ducks(made, tmp_path / "files", FILES)
        yield made


def start_both(fleet: Fleet) -> tuple[Child, Child]:
    """One worker that lists and parses with several processes, and one that writes and sends the sweep."""
    parsing = fleet.start(["list", "parse"], pool="prefork")
    return parsing, fleet.start(["encode", "finish"], beat=True)


def test_killed_workers_lose_nothing_and_the_sweeper_finds_what_waits(fleet: Fleet) -> None:
    before = start_both(fleet)
    run = fleet.start_sync()
    wait_for(lambda: fleet.done(run) > 5)
    for child in before:
        child.kill_all()
    app = fleet.app()
    with app.connection_for_write() as connection:
        for queue in queue_names(app):
            connection.default_channel.queue_purge(queue)
    start_both(fleet)
    fleet.check(run, FILES)


def test_a_message_that_comes_twice_does_nothing_twice(fleet: Fleet) -> None:
    fleet.start(["list", "parse"], pool="prefork")
    fleet.start(["encode", "finish"])
    run = fleet.place.start()
    app = fleet.app()
    for stage in ("list", "parse", "encode", "finish") * 5:
        app.send_task("ambit.step", args=[stage], queue=fleet.queue(stage))
    fleet.check(run, FILES)
    assert max(item.lease_token for item in fleet.place.items(run).values()) <= 2, "a claim to parse, one to encode"


def test_a_worker_told_to_end_finishes_its_turn_and_leaves_nothing_in_hand(fleet: Fleet) -> None:
    """SIGTERM in the middle: the worker ends by itself, no lease is left behind, and another takes the rest."""
    parsing, _ = start_both(fleet)
    run = fleet.start_sync()
    wait_for(lambda: fleet.done(run) > 3)
    parsing.end()
    assert parsing.process.exitcode == 0
    with fleet.place.db.read() as session:
        held = session.scalars(select(Item).where(Item.stage == "parse", Item.lease_until.is_not(None))).all()
        claims = session.scalars(select(Item.lease_token)).all()
    assert held == []
    assert max(claims) <= 2, "one claim to parse, one to encode: nothing was done twice"
    fleet.start(["list", "parse"], pool="prefork")
    fleet.check(run, FILES)


def test_workers_and_beat_report_and_a_pickled_message_is_refused_and_counted(fleet: Fleet) -> None:
    app = fleet.app()
    app.conf.accept_content = ["json", "pickle"]
    app.send_task("ambit.step", args=["list"], serializer="pickle", queue=fleet.queue("list"))
    parsing, _ = start_both(fleet)
    run = fleet.start_sync()
    fleet.await_end(run)

    def reported(role: str) -> list[WorkerBeat]:
        with fleet.place.db.read() as session:
            rows = [one for one in living(session) if one.role == role]
            session.expunge_all()
        return rows

    wait_for(lambda: (len(reported("worker")), len(reported("beat"))) == (2, 1))
    wait_for(lambda: any(one.worked_at is not None for one in reported("worker")))
    with fleet.place.db.read() as session:
        assert fault(session, "worker") is None
        assert fault(session, "beat") is None
        assert "no worker of this machine" in (fault(session, "worker", "elsewhere") or "")
    wait_for(lambda: any(one.refused == 1 for one in reported("worker")))
    parsing.end()
    registry = CollectorRegistry()
    registry.register(WorkMetrics(fleet.place.db))
    text = generate_latest(registry).decode()
    assert "ambit_messages_refused 1.0" in text
    assert 'ambit_stage_seconds_count{stage="parse"}' in text
    fleet.check(run, FILES)
