"""Which work is taken next: a fair batch, round-robin over sources, under leases."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select, update
from sqlalchemy.orm import Session, aliased

from core.jobs import Claim, Leased, claim, due
from core.prepared import Prepared
from core.tables import DocumentVersion, Erasure, Item, PointGarbage, Run, Source
from ingest.catalogue.forget import unseen_versions
from ingest.queue import UNLISTED, list_next, lock_source

OPEN = ("pending", "leased", "waiting")
UNJUDGED = ("queued", "listing", "held")
FAIR_SHARE = 0.25
"""Share of the claims that look at turns alone, so that a source of low priority is never starved."""
SPARE = 8
"""Times as many items are looked at as are claimed: workers that look at the same time pass over each other's."""


def claim_items(session: Session, stage: str, *, limit: int, lease_s: float, backlog: int = 0) -> list[Claim]:
    """Up to `limit` items of a stage: each source's oldest first, one from each source in turn.

    Where more sources wait than that, chance says which: by age, the oldest few would shut out all others. Sources of
    a higher priority come first in three claims of four. An item waits for earlier work on the same
    document, so that the last word said at the source is the last kept. `backlog` (0: no limit) is how many items of a
    source may wait to be encoded before no more of it are parsed.
    """
    turn = func.row_number().over(partition_by=Item.source_id, order_by=Item.id).label("turn")
    ready = select(Item.id, Item.priority, turn).where(*_ready(stage), ~_earlier_work())
    if stage == "parse" and backlog:
        ready = ready.where(Item.source_id.not_in(_full("encode", backlog)))
    rows = ready.subquery()
    order: list[ColumnElement[Any]] = [rows.c.turn, func.random()]
    if random.random() >= FAIR_SHARE:  # noqa: S311 - shares out work, guards nothing
        order.insert(0, rows.c.priority.desc())
    ids = session.scalars(select(rows.c.id).order_by(*order).limit(limit * SPARE)).all()
    return claim(session, Item, ids, lease_s=lease_s, values={"state": "leased"}, limit=limit) if ids else []


def _ready(stage: str) -> tuple[ColumnElement[bool], ...]:
    """Due items of a stage whose run and source are not paused and whose run may do what they would."""
    resting = select(Run.id).where(Run.state == "paused")
    unjudged = select(Run.id).where(Run.state.in_(UNJUDGED))
    return (
        Item.stage == stage,
        Item.state.in_(OPEN),
        due(Item),
        Item.run_id.not_in(resting),
        Item.source_id.not_in(select(Source.id).where(Source.state == "paused")),
        ~and_(Item.widens, Item.run_id.in_(unjudged)),
    )


def _full(stage: str, backlog: int) -> Select[int]:
    """Sources with so many open items at a stage that the one before it rests."""
    return (
        select(Item.source_id)
        .where(Item.stage == stage, Item.state.in_(OPEN))
        .group_by(Item.source_id)
        .having(func.count() >= backlog)
    )


def _earlier_work() -> ColumnElement[bool]:
    earlier = aliased(Item)
    return (
        select(earlier.id)
        .where(earlier.document_id == Item.document_id, earlier.id < Item.id, earlier.state.in_(OPEN))
        .exists()
    )


def claim_run(session: Session, *, lease_s: float, backlog: int = 0) -> Claim | None:
    """The run whose listing is next, if there is one."""
    found = list_next(session, backlog=backlog)
    if found is None or not lock_source(session, found) or list_next(session, backlog=backlog) != found:
        return None
    claims = claim(session, Run, [found], lease_s=lease_s, values={"state": "listing"})
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


def claim_erasure(session: Session, *, lease_s: float) -> Claim | None:
    """The oldest erasure that is due."""
    ids = session.scalars(_erasable().order_by(Erasure.id).limit(1)).all()
    claims = claim(session, Erasure, ids, lease_s=lease_s) if ids else []
    return claims[0] if claims else None


def erasure_waits(session: Session) -> bool:
    """Whether an erasure is due."""
    return _ERASABLE.first(session) is not None


def work_waits(session: Session, stage: str, *, backlog: int = 0) -> bool:
    """Whether a stage has anything that is due. Idle workers ask this several times a second."""
    if stage == "list":
        return _LISTABLE.first(session) is not None and list_next(session, backlog=backlog) is not None
    return any(one.first(session) is not None for one in _waiting(stage))


@cache
def _waiting(stage: str) -> Sequence[Prepared]:
    """Statements of which one finds something where the stage has work."""
    if stage == "finish":
        rows = [ready_runs()]
    elif stage == "purge":
        rows = [
            select(DocumentVersion.id).where(DocumentVersion.state == "old"),
            select(PointGarbage.id).where(due(PointGarbage)),
            _erasable(),
        ]
    elif stage == "profile":
        rows = [unseen_versions()]
    else:
        rows = [select(Item.id).where(*_ready(stage))]
    return [Prepared(one.limit(1)) for one in rows]


def _erasable() -> Select[int]:
    return select(Erasure.id).where(Erasure.state == "erasing", due(Erasure))


def ready_runs() -> Select[int]:
    """Runs whose listing is complete and whose items are all closed."""
    busy = select(Item.id).where(Item.run_id == Run.id, Item.state.in_(OPEN)).exists()
    return select(Run.id).where(Run.state == "working", Run.listed_all, ~busy)


def release_leases(session: Session) -> None:
    """Frees every lease: for the one process that holds the embedded index, whose predecessors are dead."""
    tables: tuple[type[Leased], ...] = (Item, Run, PointGarbage, Erasure)
    for table in tables:
        session.execute(update(table).where(table.lease_until.is_not(None)).values(lease_until=None))


_LISTABLE = Prepared(select(Run.id).where(Run.state.in_(UNLISTED), due(Run)).limit(1))
_ERASABLE = Prepared(_erasable().limit(1))
