"""Documents: pushing, reading and deleting them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api import documents
from api.context import Context, Ctx
from api.idempotency import Key as IdempotencyHeader
from api.idempotency import fingerprint, once
from api.identity import Asker, Credential, Ingester, Viewer, need
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.push import push
from api.rights import Acting, marked, require
from api.schemas.base import Page
from api.schemas.documents import DocumentAdminView, DocumentView, JobView, PassageView, PushBody
from core.errors import AccessUndecidedError
from core.tables import Document
from policies.break_glass import mark
from policies.subject import Caller

router = APIRouter(prefix="/v1", tags=["documents"])


def owner_or_writer(cred: Acting) -> Credential:
    """A key that pushes to the document's source, or one that administers, whose right is decided by document."""
    need(cred, "admin", "ingest")
    return cred


Deleter = Annotated[Credential, Depends(marked(owner_or_writer, "document.write", "…"))]


@router.post("/documents", status_code=202)
def push_document(body: PushBody, ctx: Ctx, cred: Ingester, idempotency_key: IdempotencyHeader = None) -> JobView:
    """Takes a document in; `GET /v1/jobs/{job_id}` tells when it can be found."""
    request = fingerprint("POST /v1/documents", body)
    with ctx.runtime.db.write(cred.tenant) as session:
        answer, _ = once(session, cred, idempotency_key, request, lambda: _push(ctx, session, cred, body))
    ctx.wake("parse")
    return JobView.model_validate(answer)


@router.get("/documents")
def list_documents(
    *,
    ctx: Ctx,
    cred: Acting,
    viewer: Viewer,
    source: Annotated[str | None, Query(max_length=128)] = None,
    external_id: Annotated[str | None, Query(max_length=500)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DocumentAdminView] | Page[DocumentView]:
    """Documents: to a person those they may read, to an admin all, without text."""
    given = {"source": source, "external_id": external_id}
    narrowed = {name: value for name, value in given.items() if value is not None}
    with ctx.runtime.db.read(cred.tenant) as session:
        if viewer is None:
            require(session, cred, "document.read", f"source:{'*' if source is None else source}")
            return documents.admin_page(session, cred.tenant, narrowed=narrowed, limit=limit, cursor=cursor)
        return documents.readable_page(session, viewer, narrowed=narrowed, limit=limit, cursor=cursor)


@router.get("/documents/{document_id}")
def get_document(document_id: str, ctx: Ctx, cred: Acting, viewer: Viewer) -> DocumentAdminView | DocumentView:
    """One document without its text; to a person only where they may read it."""
    if viewer is None:
        with ctx.runtime.db.read(cred.tenant) as session:
            return documents.admin_view(session, documents.administered(session, cred, document_id))
    with ctx.runtime.db.read(cred.tenant) as session:
        found = documents.view(session, *documents.read(session, viewer, document_id))
    _record(ctx, viewer, found.id)
    return found


@router.get("/documents/{document_id}/passages")
def get_passages(
    *,
    document_id: str,
    ctx: Ctx,
    caller: Asker,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[PassageView]:
    """The text of a document that the person may read, in order. An admin is not a reader."""
    after = -1 if cursor is None else read_cursor(cursor)
    with ctx.runtime.db.read(caller.tenant) as session:
        row, version = documents.read(session, caller, document_id)
        found = documents.passages(session, version, after=after, limit=limit)
        name = row.public_id
    _record(ctx, caller, name)
    following = write_cursor(found[limit - 1].position) if len(found) > limit else None
    return Page(data=found[:limit], next_cursor=following)


@router.delete("/documents/{document_id}", status_code=204)
def delete_document(document_id: str, ctx: Ctx, cred: Deleter) -> None:
    """Deletes a pushed document; the next query does not find it."""
    with ctx.runtime.db.write(cred.tenant) as session:
        row = documents.remove(session, cred, document_id)
        _audit(ctx, session, cred, "delete", row, before="live", after=row.state)
    ctx.wake("purge")


def _push(ctx: Context, session: Session, cred: Credential, body: PushBody) -> dict[str, object]:
    before = documents.pushed_state(session, cred, body.source, body.id)
    run, row = push(session, ctx.runtime.settings, ctx.runtime.keyring, cred, body)
    _audit(ctx, session, cred, "push", row, before=before, after={"state": row.state, "run": run.public_id})
    return documents.job_view(run.public_id, row, body.source).model_dump()


def _audit(
    ctx: Context, session: Session, cred: Credential, verb: str, row: Document, *, before: object, after: object
) -> None:
    body = {"document": row.public_id, "source": documents.source_key(session, row), "key": cred.prefix}
    ctx.runtime.audit.change(session, cred.tenant, f"document.{verb}", cred.actor, body, before=before, after=after)


def _record(ctx: Context, caller: Caller, document: str) -> None:
    """Without the audit entry nothing is shown."""
    body = {"app": caller.app, "documents": [document]}
    try:
        with ctx.runtime.db.write(caller.tenant) as session:
            marked_body = {**body, **mark(session, caller.tenant, caller.user)}
            ctx.runtime.audit.append(session, caller.tenant, "document.read", f"user:{caller.user}", marked_body)
    except SQLAlchemyError as error:
        raise AccessUndecidedError("the reading could not be recorded") from error
