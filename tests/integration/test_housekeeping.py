"""Answers that are kept for repeats are forgotten in time, whoever works; schedules and metrics read SQL alone."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import select, update

from core.audit import Audit
from core.clock import db_in
from core.db import Database
from core.secrets import Keyring
from core.tables import IdempotencyKey, StageTime, Tenant, WorkerBeat
from ingest.housekeeping import EVERY_S, Housekeeping
from ingest.meter import FLUSH_S, Meter
from ingest.metrics import WorkMetrics
from ingest.presence import fault, living, report


def _tenant(db: Database) -> int:
    with db.write() as session:
        tenant = Tenant(key="t")
        session.add(tenant)
        session.flush()
        return tenant.id


def test_old_answers_are_forgotten_and_new_ones_kept(db: Database, tmp_path: Path) -> None:
    tenant = _tenant(db)
    with db.write() as session:
        for key in ("old", "new"):
            session.add(IdempotencyKey(tenant_id=tenant, app_id=1, key=key, request_hash="", status=202, response={}))
        session.flush()
        day_ago = update(IdempotencyKey).where(IdempotencyKey.key == "old").values(created_at=db_in(-86_401))
        session.execute(day_ago)
    at = [0.0]
    keeping = Housekeeping(db, Audit(Keyring(tmp_path / "keys")), clock=lambda: at[0])
    assert (keeping.tend(), keeping.tend()) == (1, 0)
    with db.write() as session:
        assert session.scalars(select(IdempotencyKey.key)).all() == ["new"]
        session.execute(update(IdempotencyKey).values(created_at=db_in(-86_401)))
    assert keeping.tend() == 0, "it is not time yet"
    at[0] = EVERY_S
    assert keeping.tend() == 1


def test_turns_are_counted_by_length_and_added_up_over_processes(db: Database) -> None:
    at = [0.0]
    meters = [Meter(db, clock=lambda: at[0]) for _ in range(2)]
    for meter in meters:
        for seconds in (0.03125, 3.0, 4000.0):
            with meter.turn("parse") as worked:
                at[0] += seconds
                worked.append(True)
        with meter.turn("parse"):
            at[0] += 1.0
        at[0] += FLUSH_S
        meter.flush()
        meter.flush()
    with db.read() as session:
        rows = {row.le_ms: (row.turns, row.total_ms) for row in session.scalars(select(StageTime))}
    assert rows == {50: (2, 62), 5000: (2, 6000), 3_600_000: (2, 8_000_000)}
    registry = CollectorRegistry()
    registry.register(WorkMetrics(db))
    text = generate_latest(registry).decode()
    assert 'ambit_stage_seconds_bucket{le="0.05",stage="parse"} 2.0' in text
    assert 'ambit_stage_seconds_bucket{le="+Inf",stage="parse"} 6.0' in text
    assert 'ambit_stage_seconds_sum{stage="parse"} 8006.062' in text


def test_a_silent_process_and_one_that_stands_still_are_told_apart_from_one_that_is_well(db: Database) -> None:
    with db.write() as session:
        assert fault(session, "worker", "here") == "no worker of this machine has reported"
        report(session, "worker-1@here", "worker", ["parse"], refused=2)
        report(session, "worker-1@here", "worker", ["parse"])
        session.execute(update(WorkerBeat).values(host="here"))
    with db.write() as session:
        assert [(one.name, one.refused) for one in living(session)] == [("worker-1@here", 2)]
        assert fault(session, "worker", "here") is None
        session.execute(update(WorkerBeat).values(beat_at=db_in(-120)))
    with db.write() as session:
        assert "silent for 12" in (fault(session, "worker", "here") or "")
        assert living(session) == []
        session.execute(update(WorkerBeat).values(beat_at=db_in(-90_000)))
        report(session, "worker-2@here", "worker", ["parse"])
    with db.read() as session:
        assert session.scalars(select(WorkerBeat.name)).all() == ["worker-2@here"]
