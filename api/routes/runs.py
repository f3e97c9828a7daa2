"""Runs: where they stand, which of their items failed, and what to do about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.actors import of_key
from api.changes import Asked, perform
from api.context import Context, Ctx
from api.identity import Credential, need
from api.paging import Cursor, Limit, page
from api.rights import Acting, Unproven, administers_some, marked, require_in
from api.schemas.base import Page
from api.schemas.runs import Affected, ItemView, RejectBody, RetryBody, RunDetail, RunView
from core.errors import NotFoundError
from core.tables import Document, Item, Run, Source
from ingest.runs import counts, known_run

router = APIRouter(prefix="/v1", tags=["runs"])
Syncer = Annotated[Unproven, Depends(administers_some("source.sync"))]
Reader = Annotated[Unproven, Depends(administers_some("source.read"))]


def owner_or_reader(cred: Acting) -> Credential:
    """A key that pushes, which sees what its app pushed, or one that administers, whose right is decided by run."""
    need(cred, "admin", "ingest")
    return cred


Looker = Annotated[Credential, Depends(marked(owner_or_reader, "source.read", "…"))]
State = Annotated[str | None, Query(alias="state", max_length=20, description="Those in this state alone.")]


@router.get("/runs")
def list_runs(
    *,
    ctx: Ctx,
    cred: Reader,
    source: Annotated[str | None, Query(max_length=128)] = None,
    state: State = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RunView]:
    """Runs, newest first."""
    statement = select(Run).where(Run.tenant_id == cred.tenant)
    if source is not None:
        statement = statement.where(
            Run.source_id.in_(select(Source.id).where(Source.tenant_id == cred.tenant, Source.key == source))
        )
    if state is not None:
        statement = statement.where(Run.state == state)
    with ctx.runtime.db.read(cred.tenant) as session:
        cred.over(session, f"source:{'*' if source is None else source}")
        rows, following = page(session, statement, Run.id, limit=limit, cursor=cursor, newest_first=True)
        return Page(data=_views(session, rows), next_cursor=following)


@router.get("/runs/{run_id}")
def get_run(
    *,
    run_id: str,
    ctx: Ctx,
    cred: Looker,
    state: State = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RunDetail:
    """One run with a page of its items. A key without the right `admin` sees what its app pushed."""
    with ctx.runtime.db.read(cred.tenant) as session:
        return _detail(session, _find(session, cred, run_id), state=state, limit=limit, cursor=cursor)


@router.get("/jobs/{run_id}")
def get_job(run_id: str, ctx: Ctx, cred: Looker) -> RunDetail:
    """The same under the name that a push gives."""
    with ctx.runtime.db.read(cred.tenant) as session:
        return _detail(session, _find(session, cred, run_id), state=None, limit=50, cursor=None)


@router.post("/runs/{run_id}/retry", status_code=202)
def retry_run(run_id: str, ctx: Ctx, cred: Syncer, body: RetryBody | None = None) -> Affected:
    """Puts failed items back to work."""
    wanted = body or RetryBody()
    return _change(ctx, cred, run_id, "retry", ("parse", "place"), item=wanted.item, code=wanted.code)


@router.post("/runs/{run_id}/cancel")
def cancel_run(run_id: str, ctx: Ctx, cred: Syncer) -> Affected:
    """Stops a run; what is done stays."""
    return _change(ctx, cred, run_id, "cancel")


@router.post("/runs/{run_id}/approve")
def approve_run(run_id: str, ctx: Ctx, cred: Syncer) -> Affected:
    """Lets a held run delete what its listing did not show, and show documents to more people."""
    return _change(ctx, cred, run_id, "approve", ("parse", "place", "finish", "purge"))


@router.post("/runs/{run_id}/reject")
def reject_run(run_id: str, ctx: Ctx, cred: Syncer, body: RejectBody | None = None) -> Affected:
    """Ends a held run: nothing is deleted, nobody gains anything; the next sync looks again."""
    return _change(ctx, cred, run_id, "reject", reason=(body or RejectBody()).reason)


@router.post("/runs/{run_id}/pause")
def pause_run(run_id: str, ctx: Ctx, cred: Syncer) -> Affected:
    """Begins nothing of a run until it is resumed; what is in hand ends."""
    return _change(ctx, cred, run_id, "pause")


@router.post("/runs/{run_id}/resume")
def resume_run(run_id: str, ctx: Ctx, cred: Syncer) -> Affected:
    """Lets a paused run go on from where it was."""
    return _change(ctx, cred, run_id, "resume", ("list", "parse", "place", "finish"))


def _change(
    ctx: Context, unproven: Unproven, run_id: str, verb: str, stages: tuple[str, ...] = (), **more: object
) -> Affected:
    """Steers a run, and then wakes those stages."""
    with ctx.runtime.db.read(unproven.tenant) as session:
        known = known_run(session, unproven.tenant, run_id)
        cred = unproven.over_source(session, known.source_id if known else None)
    done = perform(ctx.runtime, of_key(cred), Asked(f"run.{verb}", {"run": run_id, **more}))
    for stage in stages:
        ctx.wake(stage)
    return Affected.model_validate(done.told)


def _find(session: Session, cred: Credential, run_id: str) -> Run:
    run = known_run(session, cred.tenant, run_id)
    if run is not None and "ingest" in cred.rights and run.trigger == cred.actor:
        return run
    if "admin" in cred.rights:
        require_in(session, cred, "source.read", run.source_id if run else None)
    if run is None or "admin" not in cred.rights:
        raise NotFoundError(f"there is no run {run_id!r}")
    return run


def _detail(session: Session, run: Run, *, state: str | None, limit: int, cursor: str | None) -> RunDetail:
    statement = select(Item).where(Item.run_id == run.id)
    if state is not None:
        statement = statement.where(Item.state == state)
    items, following = page(session, statement, Item.id, limit=limit, cursor=cursor)
    names = _documents(session, items)
    views = [ItemView.of(item, names.get(item.document_id or 0)) for item in items]
    told = _views(session, [run])[0]
    return RunDetail(**told.model_dump(), items=Page[ItemView](data=views, next_cursor=following))


def _documents(session: Session, items: list[Item]) -> dict[int, str]:
    ids = sorted({item.document_id for item in items if item.document_id is not None})
    rows = session.execute(select(Document.id, Document.public_id).where(Document.id.in_(ids)))
    return {row.id: row.public_id for row in rows}


def _views(session: Session, runs: list[Run]) -> list[RunView]:
    ids = sorted({run.source_id for run in runs})
    sources = {row.id: row.key for row in session.scalars(select(Source).where(Source.id.in_(ids)))}
    numbers = counts(session, [run.id for run in runs])
    return [RunView.of(run, sources[run.source_id], numbers[run.id]) for run in runs]
