"""Erasing documents, sources and people, and the proof that nothing of them is left."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select

from api import documents
from api.actors import of_key
from api.changes import Asked, perform
from api.context import Context, Ctx
from api.identity import Credential
from api.paging import Cursor, Limit, page
from api.rights import Unproven, administers, administers_some
from api.schemas.base import Page
from api.schemas.erasures import EraseBody, EraseDocumentBody, ErasureView, ReadmitBody
from core.tables import Erasure
from ingest.erasure.asking import find_erasure

router = APIRouter(prefix="/v1", tags=["erasures"])
DocumentEraser = Annotated[Unproven, Depends(administers_some("document.erase"))]
SourceEraser = Annotated[Credential, Depends(administers("source.erase", "source:{key}"))]
PersonEraser = Annotated[Credential, Depends(administers("user.erase", "user:{key}"))]
Readmitter = Annotated[Credential, Depends(administers("document.erase", "source:{key}"))]
Lister = Annotated[Credential, Depends(administers("erasure.read", "erasure:*"))]
Reader = Annotated[Credential, Depends(administers("erasure.read", "erasure:{erasure}"))]
Verifier = Annotated[Credential, Depends(administers("erasure.verify", "erasure:{erasure}"))]


@router.post("/documents/{document_id}/erase", status_code=202)
def erase_document(
    document_id: str, ctx: Ctx, cred: DocumentEraser, body: EraseDocumentBody | None = None
) -> ErasureView:
    """Erases a document: gone from answers at once, from everything else within moments; its source passes over it."""
    with ctx.runtime.db.read(cred.tenant) as session:
        row = documents.known(session, cred.tenant, document_id)
        acting = cred.over_source(session, row.source_id if row else None)
    return _asked(ctx, acting, "document.erase", document_id, body or EraseDocumentBody())


@router.post("/sources/{key}/erase", status_code=202)
def erase_source(key: str, ctx: Ctx, cred: SourceEraser, body: EraseBody | None = None) -> ErasureView:
    """Erases a source with every document, place, entry and run of it; one that was deleted before, too."""
    return _asked(ctx, cred, "source.erase", key, body or EraseBody())


@router.post("/users/{key}/erase", status_code=202)
def erase_person(key: str, ctx: Ctx, cred: PersonEraser, body: EraseBody | None = None) -> ErasureView:
    """Erases a person, by an id or address they have or had: a token stands in their stead, in the audit too."""
    return _asked(ctx, cred, "user.erase", key, body or EraseBody())


@router.post("/sources/{key}/readmit", status_code=204)
def readmit(key: str, ctx: Ctx, cred: Readmitter, body: ReadmitBody) -> None:
    """Lets an erased document in again with the next sync that lists it, or the next push."""
    perform(ctx.runtime, of_key(cred), Asked("erasure.readmit", {"key": key, "id": body.id}))


@router.get("/erasures")
def list_erasures(ctx: Ctx, cred: Lister, limit: Limit = 50, cursor: Cursor = None) -> Page[ErasureView]:
    """All of them, the newest first."""
    statement = select(Erasure).where(Erasure.tenant_id == cred.tenant)
    with ctx.runtime.db.read(cred.tenant) as session:
        rows, following = page(session, statement, Erasure.id, limit=limit, cursor=cursor, newest_first=True)
        return Page(data=[ErasureView.of(row) for row in rows], next_cursor=following)


@router.get("/erasures/{erasure}")
def get_erasure(erasure: str, ctx: Ctx, cred: Reader) -> ErasureView:
    """One of them, with its proof once it ended."""
    with ctx.runtime.db.read(cred.tenant) as session:
        return ErasureView.of(find_erasure(session, cred.tenant, erasure))


@router.post("/erasures/{erasure}/verify", status_code=202)
def verify_erasure(erasure: str, ctx: Ctx, cred: Verifier) -> ErasureView:
    """Strikes and scans once more, after somebody changed what an erasure had found left."""
    done = perform(ctx.runtime, of_key(cred), Asked("erasure.verify", {"key": erasure}))
    ctx.wake("purge")
    return ErasureView.model_validate(done.told)


def _asked(ctx: Context, cred: Credential, operation: str, key: str, body: EraseBody) -> ErasureView:
    asked = Asked(operation, {"key": key, **body.model_dump(mode="json")})
    done = perform(ctx.runtime, of_key(cred), asked)
    ctx.wake("purge")
    return ErasureView.model_validate(done.told)
