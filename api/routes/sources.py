"""Sources: registering and syncing them; a person sees those in which something is readable."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import etags
from api.actors import of_key
from api.changes import Asked, perform, repeatable
from api.context import Ctx
from api.etags import IfMatch
from api.idempotency import Key as IdempotencyHeader
from api.identity import Credential, Viewer
from api.paging import Cursor, Limit, page
from api.rights import Acting, Unproven, administers, administers_some, require
from api.schemas.base import Page
from api.schemas.runs import RunView
from api.schemas.sources import (
    RetriedView,
    RetrySourceBody,
    SourceAdminView,
    SourceBody,
    SourceChange,
    SourceView,
    SyncBody,
)
from api.sources import find, not_found, readable_sources
from core.tables import Source
from policies.subject import Caller, resolve_subject

router = APIRouter(prefix="/v1", tags=["sources"])
Creator = Annotated[Unproven, Depends(administers_some("source.write"))]
Writer = Annotated[Credential, Depends(administers("source.write", "source:{key}"))]
Syncer = Annotated[Credential, Depends(administers("source.sync", "source:{key}"))]


@router.get("/sources")
def list_sources(
    ctx: Ctx, cred: Acting, viewer: Viewer, limit: Limit = 50, cursor: Cursor = None
) -> Page[SourceAdminView] | Page[SourceView]:
    """Sources: to a person those in which they may read something, to an admin all."""
    with ctx.runtime.db.read(cred.tenant) as session:
        if viewer is None:
            require(session, cred, "source.read", "source:*")
            statement = select(Source).where(Source.tenant_id == cred.tenant, Source.state != "deleted")
            rows, following = page(session, statement, Source.id, limit=limit, cursor=cursor)
            return Page[SourceAdminView](data=[SourceAdminView.of(row) for row in rows], next_cursor=following)
        statement = readable_sources(session, resolve_subject(session, viewer))
        rows, following = page(session, statement, Source.id, limit=limit, cursor=cursor)
        views = [SourceView(id=row.key, connector=row.connector) for row in rows]
        return Page[SourceView](data=views, next_cursor=following)


@router.post("/sources", status_code=201)
def create_source(body: SourceBody, ctx: Ctx, cred: Creator, response: Response) -> SourceAdminView:
    """Registers a source; nothing is read before it is synced."""
    with ctx.runtime.db.read(cred.tenant) as session:
        acting = cred.over(session, f"source:{body.id}")
    done = perform(ctx.runtime, of_key(acting), Asked("source.create", {"body": body.model_dump(mode="json")}))
    view = SourceAdminView.model_validate(done.told)
    etags.tagged(response, view)
    return view


@router.get("/sources/{key}")
def get_source(key: str, ctx: Ctx, cred: Acting, viewer: Viewer, response: Response) -> SourceAdminView | SourceView:
    """One source; to a person only where they may read something in it."""
    with ctx.runtime.db.read(cred.tenant) as session:
        if viewer is not None:
            return _seen(session, viewer, key)
        require(session, cred, "source.read", f"source:{key}")
        view = SourceAdminView.of(find(session, cred.tenant, key))
    etags.tagged(response, view)
    return view


@router.patch("/sources/{key}")
def change_source(
    *, key: str, body: SourceChange, ctx: Ctx, cred: Writer, response: Response, if_match: IfMatch = None
) -> SourceAdminView:
    """Changes a source. Access holds at once for a push source, else from the next sync on."""

    def check(session: Session) -> None:
        etags.check(SourceAdminView.of(find(session, cred.tenant, key)), if_match)

    given = body.model_dump(mode="json", exclude_unset=True)
    done = perform(ctx.runtime, of_key(cred), Asked("source.change", {"key": key, "body": given}), check=check)
    view = SourceAdminView.model_validate(done.told)
    etags.tagged(response, view)
    return view


@router.delete("/sources/{key}", status_code=204)
def delete_source(key: str, ctx: Ctx, cred: Writer, if_match: IfMatch = None) -> None:
    """Ends a source; nothing of it is found any more."""

    def check(session: Session) -> None:
        etags.check(SourceAdminView.of(find(session, cred.tenant, key)), if_match)

    perform(ctx.runtime, of_key(cred), Asked("source.delete", {"key": key}), check=check)
    ctx.wake("purge")


@router.post("/sources/{key}/sync", status_code=202)
def sync_source(
    key: str, ctx: Ctx, cred: Syncer, body: SyncBody | None = None, idempotency_key: IdempotencyHeader = None
) -> RunView:
    """Queues a sync, or shows the one of its kind that is under way."""
    asked = Asked("source.sync", {"key": key, "kind": (body or SyncBody()).kind})
    done = perform(ctx.runtime, of_key(cred), asked, once=repeatable(cred, idempotency_key, asked))
    ctx.wake("list")
    return RunView.model_validate(done.told)


@router.post("/sources/{key}/retry", status_code=202)
def retry_failed(key: str, ctx: Ctx, cred: Syncer, body: RetrySourceBody | None = None) -> RetriedView:
    """Puts failed items of all runs of a source back to work."""
    asked = Asked("source.retry", {"key": key, "code": (body or RetrySourceBody()).code})
    done = perform(ctx.runtime, of_key(cred), asked)
    ctx.wake("parse")
    ctx.wake("place")
    return RetriedView(source=key, count=done.told)


def _seen(session: Session, viewer: Caller, key: str) -> SourceView:
    statement = readable_sources(session, resolve_subject(session, viewer)).where(Source.key == key)
    row = session.scalars(statement).one_or_none()
    if row is None:
        raise not_found(key)
    return SourceView(id=row.key, connector=row.connector)
