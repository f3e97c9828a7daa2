"""Which work is taken next: a fair batch, round-robin over sources, under leases."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session, aliased

from core.jobs import Claim, Leased, claim, due
from core.tables import DocumentVersion, Item, PointGarbage, Run
from ingest.catalogue.forget import unseen_versions

OPEN = ("pending", "leased", "waiting")


def claim_items(session: Session, stage: str, *, limit: int, lease_s: float) -> list[Claim]:
    """Up to `limit` items of a stage: each source's oldest first, one from each source in turn.

    An item waits for earlier work on the same document, so that the last word said at the source is the last kept.
    """
    turn = func.row_number().over(partition_by=Item.source_id, order_by=(Item.priority.desc(), Item.id)).label("turn")
    ready = (
        select(Item.id, turn).where(Item.stage == stage, Item.state.in_(OPEN), due(Item), ~_earlier_work()).subquery()
    )
    ids = session.scalars(select(ready.c.id).order_by(ready.c.turn, ready.c.id).limit(limit)).all()
    return claim(session, Item, ids, lease_s=lease_s, values={"state": "leased"}) if ids else []


def _earlier_work() -> ColumnElement[bool]:
    earlier = aliased(Item)
    return (
        select(earlier.id)
        .where(earlier.document_id == Item.document_id, earlier.id < Item.id, earlier.state.in_(OPEN))
        .exists()
    )


def claim_run(session: Session, *, lease_s: float) -> Claim | None:
    """The oldest run whose listing is due."""
    found = session.scalars(
        select(Run.id).where(Run.state.in_(["queued", "listing"]), due(Run)).order_by(Run.id).limit(1)
    ).all()
    claims = claim(session, Run, found, lease_s=lease_s, values={"state": "listing"}) if found else []
    return claims[0] if claims else None


def claim_garbage(session: Session, generation: int, *, limit: int, lease_s: float) -> list[Claim]:
    """Points to remove from one generation."""
    ids = session.scalars(
        select(PointGarbage.id)
        .where(PointGarbage.generation_id == generation, due(PointGarbage))
        .order_by(PointGarbage.id)
        .limit(limit)
    ).all()
    return claim(session, PointGarbage, ids, lease_s=lease_s, values={"state": "deleting"}) if ids else []


def work_waits(session: Session, stage: str) -> bool:
    """Whether a stage has anything that is due."""
    if stage == "list":
        rows = [select(Run.id).where(Run.state.in_(["queued", "listing"]), due(Run))]
    elif stage == "finish":
        rows = [ready_runs()]
    elif stage == "purge":
        rows = [
            select(DocumentVersion.id).where(DocumentVersion.state == "old"),
            select(PointGarbage.id).where(due(PointGarbage)),
        ]
    elif stage == "profile":
        rows = [unseen_versions()]
    else:
        rows = [select(Item.id).where(Item.stage == stage, Item.state.in_(OPEN), due(Item))]
    return any(session.scalars(one.limit(1)).first() is not None for one in rows)


def ready_runs() -> Select[int]:
    """Runs whose listing is complete and whose items are all closed."""
    busy = select(Item.id).where(Item.run_id == Run.id, Item.state.in_(OPEN)).exists()
    return select(Run.id).where(Run.state == "working", Run.listed_all, ~busy)


def release_leases(session: Session) -> None:
    """Frees every lease: for the one process that holds the embedded index, whose predecessors are dead."""
    tables: tuple[type[Leased], ...] = (Item, Run, PointGarbage)
    for table in tables:
        session.execute(update(table).where(table.lease_until.is_not(None)).values(lease_until=None))
