"""What waits for a second person: looking at it, approving it, rejecting it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import select

from api import approvals
from api.actors import of_key
from api.context import Ctx
from api.identity import Cred, Credential
from api.paging import Cursor, Limit, page
from api.rights import acting_as, administers, marked
from api.schemas.administration import DecisionBody
from api.schemas.base import Page
from core.tables import Approval

router = APIRouter(prefix="/v1", tags=["approvals"])
Lister = Annotated[Credential, Depends(administers("approval.read", "approval:*"))]
Reader = Annotated[Credential, Depends(administers("approval.read", "approval:{approval}"))]
Decider = Annotated[Credential, Depends(administers("approval.decide", "approval:{approval}"))]
State = Annotated[Literal["pending", "approved", "rejected", "stale"] | None, Query()]


@router.get("/approvals")
def list_approvals(
    ctx: Ctx, cred: Lister, state: State = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[dict[str, Any]]:
    """All of them, the newest first; what waited too long is `expired`."""
    statement = select(Approval).where(Approval.tenant_id == cred.tenant)
    if state is not None:
        statement = statement.where(Approval.state == state)
    with ctx.runtime.db.read(cred.tenant) as session:
        rows, following = page(session, statement, Approval.id, limit=limit, cursor=cursor, newest_first=True)
        return Page(data=[approvals.told(session, row) for row in rows], next_cursor=following)


@router.get("/approvals/{approval}")
def get_approval(approval: str, ctx: Ctx, cred: Reader) -> dict[str, Any]:
    """One of them, with who would gain and lose what."""
    with ctx.runtime.db.read(cred.tenant) as session:
        return approvals.told(session, approvals.find(session, cred.tenant, approval))


@router.post("/approvals/{approval}/approve")
def approve(approval: str, ctx: Ctx, cred: Decider, body: DecisionBody | None = None) -> dict[str, Any]:
    """Makes the change, if it still does what was shown; never by who proposed it."""
    approvals.approve(ctx.runtime, of_key(cred), approval, (body or DecisionBody()).note)
    for stage in ("place", "purge"):
        ctx.wake(stage)
    return _told(ctx, cred, approval)


def proposer_or_decider(request: Request, ctx: Ctx, cred: Cred) -> Credential:
    """Whoever may administer; who did not propose it needs the right, which is decided with it."""
    return acting_as(request, ctx, cred)


Rejecter = Annotated[Credential, Depends(marked(proposer_or_decider, "approval.decide", "…"))]


@router.post("/approvals/{approval}/reject")
def reject(approval: str, ctx: Ctx, cred: Rejecter, body: DecisionBody | None = None) -> dict[str, Any]:
    """Ends it; who proposed it may take it back so."""
    approvals.reject(ctx.runtime, of_key(cred), approval, (body or DecisionBody()).note)
    return _told(ctx, cred, approval)


def _told(ctx: Ctx, cred: Credential, approval: str) -> dict[str, Any]:
    with ctx.runtime.db.read(cred.tenant) as session:
        return approvals.told(session, approvals.find(session, cred.tenant, approval))
