"""Runs and items: how they start, where they stand, how they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session, aliased

from core.clock import db_in, db_now
from core.errors import ConflictError, NotFoundError
from core.ids import public_id
from core.tables import AclNode, Document, DocumentVersion, Item, Run, Source
from ingest.deletion import delete_documents, hide_behind_closed, show_documents
from ingest.dispatch import OPEN, ready_runs
from policies.nodes import release

OPEN_RUN = ("queued", "listing", "working", "held", "paused")


def start_run(session: Session, source: Source, *, trigger: str = "manual") -> Run:
    """Queues a sync of everything in a source, or finds the one that is under way.

    Raises:
        ConflictError: the source is deleted, or holds only what is pushed to it.
    """
    if source.state == "deleted":
        raise ConflictError(f"source {source.key!r} is deleted; apply it again before syncing")
    if source.connector == "push":
        raise ConflictError(f"source {source.key!r} takes pushed documents; there is nothing to sync")
    running = session.scalars(
        select(Run).where(Run.source_id == source.id, Run.kind == "content", Run.state.in_(OPEN_RUN))
    ).first()
    if running is not None and running.state != "held":
        return running
    if running is not None:
        running.state, running.error_detail = "cancelled", "a newer sync looks again at what was missing"
    run = Run(
        public_id=public_id("run"),
        tenant_id=source.tenant_id,
        source_id=source.id,
        kind="content",
        trigger=trigger,
        state="queued",
    )
    session.add(run)
    session.flush()
    return run


def find_run(session: Session, tenant: int, public: str) -> Run:
    """The run of that public id.

    Raises:
        NotFoundError: there is none in this tenant.
    """
    run = session.scalars(select(Run).where(Run.tenant_id == tenant, Run.public_id == public)).one_or_none()
    if run is None:
        raise NotFoundError(f"there is no run {public!r}")
    return run


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


def approve(session: Session, run: Run) -> int:
    """Lets a held run delete what its listing did not show; returns how many documents that is.

    Raises:
        ConflictError: the run is not held.
    """
    if run.state != "held":
        raise ConflictError(f"run {run.public_id} is {run.state}, not held")
    held = session.scalars(
        select(Document.id).where(Document.source_id == run.source_id, Document.state == "held")
    ).all()
    delete_documents(session, run.tenant_id, held)
    run.deleted += len(held)
    run.state = "working"
    return len(held)


def cancel(session: Session, run: Run) -> None:
    """Stops a run: nothing of it is begun any more; what is done stays. Held documents are shown again.

    Raises:
        ConflictError: it has ended.
    """
    if run.state not in OPEN_RUN:
        raise ConflictError(f"run {run.public_id} has ended as {run.state}")
    session.execute(
        update(Item)
        .where(Item.run_id == run.id, Item.state.in_(OPEN))
        .values(state="skipped", note="cancelled", lease_token=Item.lease_token + 1)
    )
    held = select(Document.id).where(Document.source_id == run.source_id, Document.state == "held")
    show_documents(session, run.tenant_id, session.scalars(held).all())
    session.execute(
        update(Run)
        .where(Run.id == run.id)
        .values(state="cancelled", ended_at=db_now(), lease_token=Run.lease_token + 1)
    )


def finish_ready(session: Session) -> list[int]:
    """Ends every run whose listing is complete and whose items are all closed; returns their ids."""
    ready = session.scalars(select(Run).where(Run.id.in_(ready_runs())).with_for_update(skip_locked=True)).all()
    for run in ready:
        _finish(session, run)
    return [run.id for run in ready]


def _finish(session: Session, run: Run) -> None:
    failed = session.scalar(select(func.count()).select_from(Item).where(Item.run_id == run.id, Item.state == "failed"))
    if run.kind == "content" and run.error_code is None:
        _widen(session, run)
        _advance(session, run, clean=not failed)
    run.state = "failed" if run.error_code else "partial" if failed else "succeeded"
    session.execute(update(Run).where(Run.id == run.id).values(ended_at=db_now()))


def _advance(session: Session, run: Run, *, clean: bool) -> None:
    """Notes how far the source was read. After a failed item the next sync starts where this one did: a connector
    that sends only changes would not send that object again, and what is unchanged costs nothing.
    """
    source = session.get_one(Source, run.source_id)
    source.content_synced_at = db_now()
    if clean:
        source.cursor = run.checkpoint


def _widen(session: Session, run: Run) -> None:
    """Applies what the sync held back, except to documents whose new content did not come in: those are closed."""
    waiting = session.scalars(
        select(AclNode).where(AclNode.source_id == run.source_id, AclNode.pending.is_not(None))
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
