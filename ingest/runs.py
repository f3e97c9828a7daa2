"""Runs and items: how they start, where they stand, how they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from core.clock import db_in, db_now
from core.errors import ConflictError, InvalidError, NotFoundError
from core.ids import public_id
from core.tables import AclNode, Document, DocumentVersion, Item, Run, Source
from ingest.deletion import abandon_versions, delete_documents, hide_behind_closed, show_documents
from ingest.dispatch import OPEN, ready_runs
from ingest.guards import WIDENING
from ingest.queue import LISTED, PERMISSIONS
from policies.nodes import approve_pending, release

OPEN_RUN = ("queued", "listing", "working", "held", "paused")


def start_run(session: Session, source: Source, *, kind: str = "content", trigger: str = "manual") -> Run:
    """Queues a run of a source, or finds the one of its kind that is under way.

    Raises:
        ConflictError: the source is deleted or paused, or holds only what is pushed to it.
    """
    if kind not in LISTED:
        raise InvalidError(f"{kind!r} is no kind of sync; write one of {', '.join(LISTED)}")
    session.execute(select(Source.id).where(Source.id == source.id).with_for_update())
    _startable(source)
    same = (Run.source_id == source.id, Run.kind == kind, Run.state.in_(OPEN_RUN), Run.state != "held")
    running = session.scalars(select(Run).where(*same).order_by(Run.id)).first()
    if running is not None:
        return running
    run = Run(
        public_id=public_id("run"),
        tenant_id=source.tenant_id,
        source_id=source.id,
        kind=kind,
        trigger=trigger,
        state="queued",
        priority=source.priority,
    )
    session.add(run)
    session.flush()
    _supersede(session, run)
    return run


def _startable(source: Source) -> None:
    if source.state == "deleted":
        raise ConflictError(f"source {source.key!r} is deleted; apply it again before syncing")
    if source.state == "paused":
        raise ConflictError(f"source {source.key!r} is paused; resume it before syncing")
    if source.connector == "push":
        raise ConflictError(f"source {source.key!r} takes pushed documents; there is nothing to sync")


def _supersede(session: Session, run: Run) -> None:
    """A newer run looks again at what a held one waits with; a crawl of access data can only do that for its own kind.

    What a held run hid stays hidden until the newer one has seen it or is held in its turn.
    """
    kinds = (PERMISSIONS,) if run.kind == PERMISSIONS else LISTED
    held = (Run.source_id == run.source_id, Run.kind.in_(kinds), Run.state == "held")
    for before in session.scalars(select(Run).where(*held)):
        skip_items(session, before, note=f"run {run.public_id} took its place")
        before.state, before.held_for = "cancelled", None
        before.error_detail = f"run {run.public_id} took its place and looks again at what was held"
        session.flush()
        session.execute(update(Run).where(Run.id == before.id).values(ended_at=db_now()))


def skip_items(session: Session, run: Run, *, note: str) -> None:
    """Closes the open items of a run; a worker that has one in hand can write nothing of it any more."""
    going = (Item.run_id == run.id, Item.state.in_(OPEN))
    abandon_versions(session, select(Item.version_id).where(*going, Item.version_id.is_not(None)))
    session.execute(
        update(Item)
        .where(*going)
        .values(state="skipped", note=note, lease_until=None, lease_token=Item.lease_token + 1)
    )


def find_run(session: Session, tenant: int, public: str) -> Run:
    """The run of that public id.

    Raises:
        NotFoundError: there is none in this tenant.
    """
    run = known_run(session, tenant, public)
    if run is None:
        raise NotFoundError(f"there is no run {public!r}")
    return run


def known_run(session: Session, tenant: int, public: str) -> Run | None:
    """The run of that public id; None where there is none in this tenant."""
    return session.scalars(select(Run).where(Run.tenant_id == tenant, Run.public_id == public)).one_or_none()


def counts(session: Session, runs: Sequence[int]) -> dict[int, dict[str, int]]:
    """Items of each run by state."""
    found: dict[int, dict[str, int]] = {one: {} for one in runs}
    rows = session.execute(
        select(Item.run_id, Item.state, func.count()).where(Item.run_id.in_(runs)).group_by(Item.run_id, Item.state)
    )
    for run, state, count in rows:
        found[run][state] = count
    return found


def retry(session: Session, run: Run, *, item: str | None = None, code: str | None = None) -> int:
    """Puts failed items of a run back to work: all, one, or those with one error code. Returns how many.

    Problems that a listing found are not work and stay: only the next sync can tell whether they are mended. So do
    items whose document has a later one: its content, or its audience, is newer than theirs.
    """
    later = aliased(Item)
    overtaken = select(later.id).where(later.document_id == Item.document_id, later.id > Item.id).exists()
    wanted = [Item.run_id == run.id, Item.state == "failed", Item.stage != "listed", ~overtaken]
    if item is not None:
        wanted.append(Item.public_id == item)
    if code is not None:
        wanted.append(Item.error_code == code)
    done: Any = session.execute(
        update(Item)
        .where(*wanted)
        .values(
            state="pending",
            stage=case((Item.stage == "place", "place"), else_="parse"),
            attempts=0,
            not_before=db_now(),
            lease_until=None,
            error_code=None,
            error_detail=None,
        )
    )
    if done.rowcount:
        run.state, run.ended_at = "working", None
    return int(done.rowcount)


def retry_source(session: Session, source: Source, *, code: str | None = None) -> int:
    """As `retry`, for the failed items of every run of a source that was not cancelled."""
    failed = select(Item.run_id).where(Item.source_id == source.id, Item.state == "failed", Item.stage != "listed")
    runs = session.scalars(select(Run).where(Run.id.in_(failed), Run.state != "cancelled").order_by(Run.id)).all()
    return sum(retry(session, run, code=code) for run in runs)


def approve(session: Session, run: Run) -> int:
    """Lets a held run delete what its listing did not show, and widen access; returns how many documents that is.

    Raises:
        ConflictError: the run is not held.
    """
    _held(run)
    count = run.widened if WIDENING in (run.held_for or "") else 0
    if WIDENING in (run.held_for or ""):
        approve_pending(session, run.source_id)
    if run.kind != PERMISSIONS:
        gone = _hidden(session, run)
        delete_documents(session, run.tenant_id, gone)
        run.deleted += len(gone)
        count += len(gone)
    run.state, run.held_for, run.error_detail = "working", None, None
    return count


def reject(session: Session, run: Run, reason: str = "") -> None:
    """Ends a held run: nothing is deleted, nobody gains anything, what it hid is shown again. The next sync looks
    again.

    Raises:
        ConflictError: the run is not held.
    """
    _held(run)
    cancel(session, run)
    told = f"rejected: {reason}" if reason else "rejected"
    session.execute(update(Run).where(Run.id == run.id).values(error_detail=told[:2000]))


def _held(run: Run) -> None:
    if run.state != "held":
        raise ConflictError(f"run {run.public_id} is {run.state}, not held. {run.error_detail or ''}".rstrip())


def _hidden(session: Session, run: Run) -> Sequence[int]:
    return session.scalars(
        select(Document.id).where(Document.source_id == run.source_id, Document.state == "held")
    ).all()


def pause(session: Session, run: Run) -> None:
    """Nothing of a run is begun until it is resumed; what is in hand ends.

    Raises:
        ConflictError: it has ended, or is held or paused.
    """
    if run.state not in ("queued", "listing", "working"):
        raise ConflictError(f"run {run.public_id} is {run.state}; it cannot be paused")
    run.state, run.lease_until, run.lease_token = "paused", None, run.lease_token + 1


def resume(session: Session, run: Run) -> None:
    """Lets a paused run go on from where it was.

    Raises:
        ConflictError: it is not paused.
    """
    if run.state != "paused":
        raise ConflictError(f"run {run.public_id} is {run.state}, not paused")
    run.state = "working" if run.listed_all else "listing"


def prioritise(session: Session, source: Source, priority: int) -> None:
    """Gives a source's present and later work this priority."""
    source.priority = priority
    for table in (Run, Item):
        open_states = OPEN_RUN if table is Run else OPEN
        session.execute(
            update(table)
            .where(table.source_id == source.id, table.state.in_(open_states), table.priority != priority)
            .values(priority=priority)
        )


def cancel(session: Session, run: Run) -> None:
    """Stops a run: nothing of it is begun any more; what is done stays. Held documents are shown again.

    Raises:
        ConflictError: it has ended.
    """
    if run.state not in OPEN_RUN:
        raise ConflictError(f"run {run.public_id} has ended as {run.state}")
    skip_items(session, run, note="cancelled")
    if run.kind != PERMISSIONS:
        show_documents(session, run.tenant_id, _hidden(session, run))
    session.execute(
        update(Run)
        .where(Run.id == run.id)
        .values(state="cancelled", held_for=None, ended_at=db_now(), lease_token=Run.lease_token + 1)
    )


def finish_ready(session: Session) -> list[int]:
    """Ends every run whose listing is complete and whose items are all closed; returns their ids."""
    ready = session.scalars(select(Run).where(Run.id.in_(ready_runs())).with_for_update(skip_locked=True)).all()
    for run in ready:
        _finish(session, run)
    return [run.id for run in ready]


def _finish(session: Session, run: Run) -> None:
    failed = session.scalar(select(func.count()).select_from(Item).where(Item.run_id == run.id, Item.state == "failed"))
    run.state = "failed" if run.error_code else "partial" if failed else "succeeded"
    session.flush()
    session.execute(update(Run).where(Run.id == run.id).values(ended_at=db_now()))
    if run.kind in LISTED and run.error_code is None:
        if run.kind != PERMISSIONS:
            _widen(session, run)
        source = session.get_one(Source, run.source_id)
        _advance(source, run, clean=not failed)
        _follow(session, source)


def _advance(source: Source, run: Run, *, clean: bool) -> None:
    """Notes how far the source was read. After a failed item the next sync starts where this one did: a connector
    that sends only changes would not send that object again, and what is unchanged costs nothing.
    """
    if run.kind != PERMISSIONS:
        source.content_synced_at = db_now()
    if clean and run.kind == PERMISSIONS:
        source.access_cursor = run.checkpoint
    elif clean:
        source.cursor = run.checkpoint


def _follow(session: Session, source: Source) -> None:
    """Places that wait to widen since a crawl of access data need a listing of content that began after it."""
    waiting = (AclNode.source_id == source.id, AclNode.pending.is_not(None))
    if source.state == "active" and session.scalar(select(AclNode.id).where(*waiting).limit(1)) is not None:
        start_run(session, source, trigger="widening")


def _widen(session: Session, run: Run) -> None:
    """Applies what this sync and those before it held back, except to documents whose new content did not come in:
    those are closed.
    """
    older = or_(AclNode.pending_run_id.is_(None), AclNode.pending_run_id <= run.id)
    waiting = session.scalars(
        select(AclNode).where(AclNode.source_id == run.source_id, AclNode.pending.is_not(None), older)
    ).all()
    if not waiting:
        return
    stale = session.scalars(
        select(Item.document_id)
        .join(Document, Document.id == Item.document_id)
        .where(Item.run_id == run.id, Item.state == "failed", Document.version_id.is_not(None))
    ).all()
    hide_behind_closed(session, run.tenant_id, run.source_id, [one for one in stale if one is not None])
    release(session, waiting)


def fail_item(session: Session, item: Item, code: str, detail: str) -> None:
    """Closes an item with an error; the version it was building is let go."""
    item.state, item.error_code, item.error_detail = "failed", code, detail[:2000]
    item.lease_until = None
    if item.version_id is not None:
        session.execute(
            update(DocumentVersion)
            .where(DocumentVersion.id == item.version_id, DocumentVersion.state == "staged")
            .values(state="old")
        )
        item.version_id = None


def postpone_item(item: Item, code: str, detail: str, seconds: float) -> None:
    """Lets an item wait before it is tried again."""
    item.state, item.error_code, item.error_detail = "waiting", code, detail[:2000]
    item.attempts += 1
    item.lease_until = None
    item.not_before = db_in(seconds)
