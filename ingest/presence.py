"""The row by which a working process shows that it lives, and what the rows say of a machine's processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from core.clock import db_in, db_now
from core.db import insert_new, now
from core.tables import Item, Run, WorkerBeat
from ingest.dispatch import work_waits

BEAT_S = 10.0
"""Seconds between two reports."""
SILENT_S = 60.0
"""A process that has not reported for so long counts as gone."""
STUCK_S = 900.0
"""Work that has been due for so long, with nothing done meanwhile, shows a process that lives and does nothing."""
KEPT_S = 24 * 3600.0


def own_name(role: str) -> str:
    """The name of this process's row."""
    return f"{role}-{os.getpid()}@{socket.gethostname()}"


def report(session: Session, name: str, role: str, stages: Sequence[str], *, refused: int = 0) -> None:
    """Says that a process lives; forgets those that have been silent for a day."""
    row = {"name": name, "host": socket.gethostname(), "role": role, "stages": list(stages)}
    insert_new(session, WorkerBeat, [{**row, "refused": 0}])
    session.execute(
        update(WorkerBeat).where(WorkerBeat.name == name).values(beat_at=db_now(), refused=WorkerBeat.refused + refused)
    )
    session.execute(delete(WorkerBeat).where(WorkerBeat.beat_at < db_in(-KEPT_S)))


def living(session: Session) -> list[WorkerBeat]:
    """Processes that reported lately, by name."""
    since = db_in(-SILENT_S)
    return list(session.scalars(select(WorkerBeat).where(WorkerBeat.beat_at > since).order_by(WorkerBeat.name)))


def fault(session: Session, role: str, host: str | None = None) -> str | None:
    """Why the newest process of that role on a machine (None: this one) is not well; None: it is."""
    mine = (WorkerBeat.host == (host or socket.gethostname()), WorkerBeat.role == role)
    row = session.scalars(select(WorkerBeat).where(*mine).order_by(WorkerBeat.started_at.desc()).limit(1)).first()
    if row is None:
        return f"no {role} of this machine has reported"
    at = now(session)
    if at - row.beat_at > timedelta(seconds=SILENT_S):
        return f"{row.name} has been silent for {(at - row.beat_at).total_seconds():.0f} s"
    stuck = [stage for stage in row.stages if _stuck(session, row, stage)]
    return f"{row.name} does nothing although work waits for {', '.join(stuck)}" if stuck else None


def _stuck(session: Session, row: WorkerBeat, stage: str) -> bool:
    """Whether work of a stage has long been due, and no turn of this process has ended since."""
    long_ago = now(session) - timedelta(seconds=STUCK_S)
    if (row.worked_at or row.started_at) > long_ago or not work_waits(session, stage):
        return False
    if stage == "list":
        oldest = session.scalar(select(func.min(Run.not_before)).where(Run.state.in_(["queued", "listing"])))
    else:
        waiting = (Item.stage == stage, Item.state.in_(["pending", "waiting"]))
        oldest = session.scalar(select(func.min(Item.not_before)).where(*waiting))
    return oldest is not None and oldest < long_ago
