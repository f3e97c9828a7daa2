"""The audit: who was shown what, who changed what, and who asked about whom."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.audit import Wanted, page, told
from api.context import Ctx
from api.identity import Credential
from api.paging import Cursor, Limit
from api.rights import administers
from api.schemas.base import Page, Time, View

router = APIRouter(prefix="/v1", tags=["audit"])
Reader = Annotated[Credential, Depends(administers("audit.read", "audit:*"))]
Name = Annotated[str | None, Query(max_length=500)]


class AuditView(View):
    """One entry. `mac` proves it, `seq` and `chain` are its place in the chain; null: it is not chained yet."""

    id: int
    at: datetime
    actor: str
    action: str
    request_id: str | None
    body: dict[str, Any]
    mac: str
    seq: int | None
    chain: str | None


@router.get("/audit")
def list_audit(
    *,
    ctx: Ctx,
    cred: Reader,
    actor: Annotated[str | None, Query(max_length=500, description="As in `user:ana`, `app:chat`, `local`.")] = None,
    action: Annotated[str | None, Query(max_length=100, description="One, or several as in `admin.*`.")] = None,
    subject: Annotated[str | None, Query(max_length=500, description="What it names, as in `document:doc_…`.")] = None,
    since: Time | None = None,
    until: Annotated[Time | None, Query(description="Before this.")] = None,
    request_id: Name = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AuditView]:
    """Entries, the newest first. A page may be short and have a `next_cursor` where `subject` is asked for."""
    wanted = Wanted(actor, action, subject, since, until, request_id)
    with ctx.runtime.db.read(cred.tenant) as session:
        rows, following = page(session, cred.tenant, wanted, limit=limit, cursor=cursor)
        return Page(data=[AuditView.model_validate(told(row)) for row in rows], next_cursor=following)
