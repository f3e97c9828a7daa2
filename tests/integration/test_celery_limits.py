"""What bounds a Celery worker and what it tells: time, memory, the schedule that stands in SQL, its own metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import delete, func, select

from core.tables import ChunkPoint, Run, Source
from ingest.stages import STAGES
from tests.factories.children import Child, wait_for
from tests.factories.fault_child import free_port
from tests.factories.fleet import Fleet, ducks
from tests.factories.installation import ENDED

pytestmark = pytest.mark.integration
FILES = 12


@pytest.fixture
def urls(postgres_url: str, redis_url: str) -> dict[str, str]:
    return {"database_url": postgres_url, "broker_url": redis_url}


@contextmanager
def fleet_of(folder: Path, urls: dict[str, str], **settings: Any) -> Iterator[Fleet]:
    with Fleet(folder, worker_threads=1, **urls, **settings) as made:
        ducks(made, folder / "files", FILES)
        yield made


def working_processes(worker: Child) -> set[int]:
    """The processes of a worker that do its tasks; not their parsers, nor what ended."""
    assert worker.process.pid is not None
    children = psutil.Process(worker.process.pid).children()
    return {one.pid for one in children if one.status() != psutil.STATUS_ZOMBIE}


@pytest.mark.parametrize(("how", "hard"), [("until it is told", 60), ("for ever", 4)])
def test_a_turn_that_hangs_is_ended_and_what_it_had_is_tried_again(
    tmp_path: Path, urls: dict[str, str], how: str, hard: int
) -> None:
    """The soft limit ends what the turn has in hand, the hard one its process; neither ends the worker."""
    with fleet_of(tmp_path, urls) as fleet:
        run = fleet.place.start()
        STAGES["list"](fleet.place.runtime.pipeline)
        sign = tmp_path / "hang"
        sign.write_text(how)
        worker = fleet.start(["parse"], pool="prefork", hang=str(sign))
        fleet.app().send_task(
            "ambit.step", args=["parse"], queue=fleet.queue("parse"), soft_time_limit=2, time_limit=hard
        )
        wait_for(lambda: not sign.exists())
        before = working_processes(worker)
        fleet.start(["encode", "finish"], beat=True)
        fleet.await_end(run)
        assert (working_processes(worker) == before) == (how == "until it is told")
        fleet.check(run, FILES)


@pytest.mark.parametrize(("cap_mb", "replaced"), [(1, True), pytest.param(4096, False, marks=pytest.mark.full)])
def test_a_worker_process_above_its_memory_is_replaced_after_its_turn(
    tmp_path: Path, urls: dict[str, str], cap_mb: int, replaced: bool
) -> None:
    with fleet_of(tmp_path, urls, worker_memory_mb=cap_mb) as fleet:
        worker = fleet.start(["list", "parse"], pool="prefork")
        fleet.start(["encode", "finish"], beat=True)
        run, seen = fleet.start_sync(), set[int]()

        def ended() -> bool:
            seen.update(working_processes(worker))
            return fleet.place.run(run).state in ENDED

        wait_for(ended)
        assert (len(seen) > 1) == replaced
        fleet.check(run, FILES)


def test_the_beat_starts_what_sql_says_is_due_and_a_worker_tells_of_it(tmp_path: Path, urls: dict[str, str]) -> None:
    port = free_port()
    with fleet_of(tmp_path, urls, worker_metrics_port=port) as fleet:
        with fleet.place.db.write() as session:
            session.scalars(select(Source)).one().schedule = {"content": "1s"}
        fleet.start([], beat=True)

        def scheduled() -> list[Run]:
            with fleet.place.db.read() as session:
                found = session.scalars(select(Run).where(Run.trigger == "schedule", Run.state.in_(ENDED))).all()
                session.expunge_all()
            return list(found)

        wait_for(lambda: bool(scheduled()))
        assert [one.state for one in scheduled()] == ["succeeded"] * len(scheduled())
        told = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10, trust_env=False).text
        assert f'ambit_documents{{state="live"}} {FILES}.0' in told
        assert 'ambit_workers{role="worker"} 1.0' in told
        assert 'ambit_stage_seconds_count{stage="list"}' in told
        with fleet.place.db.write() as session:
            session.scalars(select(Source)).one().schedule = {}
        fleet.stop()
        assert len(fleet.place.documents()) == FILES


def test_a_worker_compares_the_index_with_sql_when_it_is_told_to(tmp_path: Path, urls: dict[str, str]) -> None:
    with fleet_of(tmp_path, urls) as fleet:
        fleet.start([], beat=True)
        fleet.await_end(fleet.start_sync())
        noted = _noted(fleet)
        assert noted >= FILES
        with fleet.place.db.write() as session:
            session.execute(delete(ChunkPoint))
        told = fleet.app().conf.beat_schedule["reconcile"]
        assert told["schedule"].is_due(datetime.now(UTC) - timedelta(days=1, minutes=1)).is_due
        fleet.app().send_task(told["task"], queue=fleet.queue("finish"), **told["options"])
        wait_for(lambda: _noted(fleet) == noted)


def _noted(fleet: Fleet) -> int:
    with fleet.place.db.read() as session:
        return session.scalar(select(func.count()).select_from(ChunkPoint)) or 0
