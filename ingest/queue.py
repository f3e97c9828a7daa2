"""Whose listing is next. Listings of one source never overlap; that of access data goes before that of content."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from core.clock import db_now
from core.jobs import due
from core.tables import Item, Run, Source

PERMISSIONS = "permissions"
LISTED = ("content", "deletions", PERMISSIONS)
"""Kinds of run that list their source."""
UNLISTED = ("queued", "listing")
_OPEN = ("pending", "leased", "waiting")


def list_next(session: Session, *, backlog: int = 0) -> int | None:
    """The run whose listing is due and that nothing stands before: the highest priority, then the longest waiting.

    A content listing also waits while `backlog` / 2 objects of its source (0: no limit) wait to be parsed.
    """
    ready = (
        Run.state.in_(UNLISTED),
        due(Run),
        Run.source_id.not_in(select(Source.id).where(Source.state != "active")),
        ~_another_goes_first(),
    )
    order = (Run.priority.desc(), case((Run.kind == PERMISSIONS, 0), else_=1), Run.not_before, Run.id)
    for run in session.scalars(select(Run).where(*ready).order_by(*order).limit(100)):
        if run.kind == PERMISSIONS or not is_full(session, run.source_id, backlog // 2):
            return run.id
    return None


def _another_goes_first() -> ColumnElement[bool]:
    """A listing of the same source that goes on, or a crawl of access data, or an older listing of content."""
    other = aliased(Run)
    living = and_(other.lease_until.is_not(None), other.lease_until > db_now())
    crawl = and_(other.kind == PERMISSIONS, other.not_before <= db_now(), Run.kind != PERMISSIONS)
    older = and_(other.kind != PERMISSIONS, Run.kind != PERMISSIONS, other.id < Run.id)
    return (
        select(other.id)
        .where(
            other.source_id == Run.source_id,
            other.id != Run.id,
            other.state.in_(UNLISTED),
            or_(living, crawl, older),
        )
        .exists()
    )


def is_full(session: Session, source: int, backlog: int) -> bool:
    """Whether `backlog` objects of a source (0: no limit) wait to be parsed; those that wait for the end of their
    listing do not count, or it would never come.
    """
    if not backlog:
        return False
    open_ = (Item.stage == "parse", Item.state.in_(_OPEN), ~Item.widens)
    waiting = select(Item.id).where(Item.source_id == source, *open_)
    return (session.scalar(select(func.count()).select_from(waiting.limit(backlog).subquery())) or 0) >= backlog


def lock_source(session: Session, run: int) -> bool:
    """Takes the lock under which a listing of the run's source begins; False where another has it."""
    source = select(Run.source_id).where(Run.id == run).scalar_subquery()
    return session.scalar(select(Source.id).where(Source.id == source).with_for_update(skip_locked=True)) is not None


def should_rest(session: Session, run: Run, *, backlog: int, turn_over: bool) -> bool:
    """Whether a listing stops at this checkpoint, to go on from it later: the queue before parsing is full, access
    data of the same source is asked for, or its turn is over and another source waits.
    """
    if run.kind == PERMISSIONS:
        return False
    if is_full(session, run.source_id, backlog):
        return True
    waiting = [Run.state.in_(UNLISTED), due(Run), Run.id != run.id]
    crawl = select(Run.id).where(*waiting, Run.source_id == run.source_id, Run.kind == PERMISSIONS)
    if session.scalar(crawl.limit(1)) is not None:
        return True
    others = select(Run.id).where(*waiting, Run.source_id != run.source_id, Run.priority >= run.priority)
    return turn_over and session.scalar(others.limit(1)) is not None
