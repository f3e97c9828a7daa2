"""The same stages as Celery tasks, over RabbitMQ and over Redis, on PostgreSQL, in several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import select

from core.settings import Settings
from core.tables import Item, WorkerBeat
from ingest.metrics import WorkMetrics
from ingest.presence import fault, living
from tests.factories.installation import ENDED, Installation
from workers.app import make_app, queue_names
from workers.tasks import waker

pytestmark = pytest.mark.integration
FILES = 60


class Workers:
    """Worker processes of one installation."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self, stages: list[str], *, beat: bool = False, pool: str = "prefork") -> subprocess.Popen[bytes]:
        options = {"settings": self.settings, "stages": stages, "beat": beat, "pool": pool, "delay_s": 0.01}
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.factories.worker_child", json.dumps(options)],
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
        self.children.append(child)
        return child

    def stop(self, child: subprocess.Popen[bytes], how: int = signal.SIGTERM) -> None:
        """SIGKILL takes the whole group, as a machine that goes down does."""
        if child.poll() is None:
            (os.killpg if how == signal.SIGKILL else os.kill)(child.pid, how)
        child.wait(timeout=60)

    def stop_all(self) -> None:
        for child in self.children:
            self.stop(child, signal.SIGTERM)


@pytest.fixture(params=["rabbitmq_url", "redis_url"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> dict[str, Any]:
    return {
        "data_dir": str(tmp_path / "data"),
        "database_url": postgres_url,
        "broker_url": request.getfixturevalue(request.param),
        "encoder": "word-hash",
        "log_level": "error",
        "lease_s": 3,
        "parse_timeout_s": 1,
        "retry_base_s": 0.05,
    }


@pytest.fixture
def place(settings: dict[str, Any], tmp_path: Path) -> Iterator[Installation]:
    chosen = {name: value for name, value in settings.items() if name in ("database_url", "broker_url")}
    installation = Installation(tmp_path / "data", **chosen)
    installation.add_user("ana")
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.txt").write_text(f"Duck number {number} swims.")
    installation.add_folder(folder)
    yield installation
    installation.close()


@pytest.fixture
def workers(settings: dict[str, Any]) -> Iterator[Workers]:
    found = Workers(settings)
    yield found
    found.stop_all()


def wait_for(done: Callable[[], bool], *, limit_s: float = 120.0) -> None:
    ends = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.1)


def done_items(place: Installation, run: int) -> int:
    return sum(item.state == "done" for item in place.items(run).values())


def sync_with(place: Installation, settings: dict[str, Any]) -> int:
    run = place.start()
    waker(Settings(_env_file=None, **settings))("list")
    return run


def finish(place: Installation, workers: Workers, run: int) -> None:
    wait_for(lambda: place.run(run).state in ENDED)
    workers.stop_all()
    assert place.run(run).state == "succeeded"
    place.drain()
    assert len(place.documents()) == FILES
    assert len(place.search("ana", "duck", top_k=100)) == FILES
    place.check_consistent()


def test_workers_in_several_processes_bring_in_every_document_once(
    place: Installation, workers: Workers, settings: dict[str, Any]
) -> None:
    workers.start(["list", "parse"])
    workers.start(["encode", "finish"], pool="solo")
    finish(place, workers, sync_with(place, settings))


def test_killed_workers_lose_nothing_and_the_sweeper_finds_what_waits(
    place: Installation, workers: Workers, settings: dict[str, Any]
) -> None:
    parsing = workers.start(["list", "parse"])
    writing = workers.start(["encode", "finish"], pool="solo", beat=True)
    run = sync_with(place, settings)
    wait_for(lambda: done_items(place, run) > 5)
    workers.stop(parsing, signal.SIGKILL)
    workers.stop(writing, signal.SIGKILL)
    app = make_app(Settings(_env_file=None, **settings))
    with app.connection_for_write() as connection:
        for queue in queue_names(app):
            connection.default_channel.queue_purge(queue)
    workers.start(["list", "parse"])
    workers.start(["encode", "finish"], pool="solo", beat=True)
    finish(place, workers, run)


def test_a_message_that_comes_twice_does_nothing_twice(
    place: Installation, workers: Workers, settings: dict[str, Any]
) -> None:
    workers.start(["list", "parse"])
    workers.start(["encode", "finish"], pool="solo")
    run = place.start()
    app = make_app(Settings(_env_file=None, **settings))
    for stage in ("list", "parse", "encode", "finish") * 5:
        app.send_task("ambit.step", args=[stage], queue=queue_names(app, [stage])[0])
    finish(place, workers, run)


def test_a_pickled_message_is_refused(workers: Workers, place: Installation, settings: dict[str, Any]) -> None:
    app = make_app(Settings(_env_file=None, **settings))
    app.conf.accept_content = ["json", "pickle"]
    app.send_task("ambit.step", args=["list"], serializer="pickle", queue=queue_names(app, ["list"])[0])
    workers.start(["list", "parse"])
    workers.start(["encode", "finish"], pool="solo")
    finish(place, workers, sync_with(place, settings))


def test_a_worker_told_to_end_finishes_its_turn_and_leaves_nothing_in_hand(
    place: Installation, workers: Workers, settings: dict[str, Any]
) -> None:
    """SIGTERM in the middle: the worker ends by itself, no lease is left behind, and another takes the rest."""
    workers.start(["encode", "finish"], pool="solo", beat=True)
    parsing = workers.start(["list", "parse"])
    run = sync_with(place, settings)
    wait_for(lambda: done_items(place, run) > 3)
    workers.stop(parsing, signal.SIGTERM)
    assert parsing.returncode == 0
    with place.db.read() as session:
        held = session.scalars(select(Item).where(Item.stage == "parse", Item.lease_until.is_not(None))).all()
        claims = session.scalars(select(Item.lease_token)).all()
    assert held == []
    assert max(claims) <= 2, "one claim to parse, one to encode: nothing was done twice"
    workers.start(["list", "parse"])
    finish(place, workers, run)


def test_workers_and_beat_report_and_what_is_refused_is_counted(
    place: Installation, workers: Workers, settings: dict[str, Any]
) -> None:
    app = make_app(Settings(_env_file=None, **settings))
    app.conf.accept_content = ["json", "pickle"]
    app.send_task("ambit.step", args=["list"], serializer="pickle", queue=queue_names(app, ["list"])[0])
    child = workers.start(["list", "parse"])
    workers.start(["encode", "finish"], pool="solo", beat=True)
    finish_later = sync_with(place, settings)
    wait_for(lambda: place.run(finish_later).state in ENDED)

    def reported() -> dict[str, list[WorkerBeat]]:
        with place.db.read() as session:
            rows = living(session)
            session.expunge_all()
        return {role: [one for one in rows if one.role == role] for role in ("worker", "beat")}

    wait_for(lambda: len(reported()["worker"]) == 2 and len(reported()["beat"]) == 1)
    wait_for(lambda: any(one.refused == 1 for one in reported()["worker"]))
    wait_for(lambda: any(one.worked_at is not None for one in reported()["worker"]))
    with place.db.read() as session:
        assert fault(session, "worker") is None
        assert fault(session, "beat") is None
        assert "no worker of this machine" in (fault(session, "worker", "elsewhere") or "")
    workers.stop(child, signal.SIGTERM)
    text = generate_latest(_registry(place)).decode()
    assert "ambit_messages_refused 1.0" in text
    assert 'ambit_stage_seconds_count{stage="parse"}' in text
    finish(place, workers, finish_later)


def _registry(place: Installation) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(WorkMetrics(place.db))
    return registry
