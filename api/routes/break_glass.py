"""Emergency access: opening it, seeing it, ending it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from sqlalchemy import select

from api.actors import of_key
from api.changes import Asked, perform
from api.context import Ctx
from api.identity import Credential
from api.paging import Cursor, Limit, page
from api.rights import NO_SOURCE, Unproven, administers, administers_some
from api.schemas.administration import BreakGlassBody
from api.schemas.base import Page
from core.db import now
from core.tables import BreakGlass
from core.telemetry import logger
from policies.break_glass import glass_as_dict, known_glass

router = APIRouter(prefix="/v1", tags=["access"])
Opener = Annotated[Unproven, Depends(administers_some("break_glass.open"))]
Ender = Annotated[Unproven, Depends(administers_some("break_glass.end"))]
Lister = Annotated[Credential, Depends(administers("entry.read", "source:*"))]


@router.get("/access/break-glass")
def list_break_glass(ctx: Ctx, cred: Lister, limit: Limit = 50, cursor: Cursor = None) -> Page[dict[str, Any]]:
    """All emergency access there was, the newest first."""
    statement = select(BreakGlass).where(BreakGlass.tenant_id == cred.tenant)
    with ctx.runtime.db.read(cred.tenant) as session:
        rows, following = page(session, statement, BreakGlass.id, limit=limit, cursor=cursor, newest_first=True)
        at = now(session)
        return Page(data=[glass_as_dict(row, at) for row in rows], next_cursor=following)


@router.post("/access/break-glass", status_code=201)
def open_break_glass(body: BreakGlassBody, ctx: Ctx, unproven: Opener) -> dict[str, Any]:
    """Opens reading of places to one person for a time; every query under it is marked in the audit."""
    with ctx.runtime.db.read(unproven.tenant) as session:
        cred = unproven.over(session, *(f"source:{place.partition(':')[0]}" for place in body.places))
    told: dict[str, Any] = perform(
        ctx.runtime, of_key(cred), Asked("break_glass.open", body.model_dump(mode="json"))
    ).told
    logger().warning("break_glass.open", tenant=cred.tenant, count=len(body.places), kind=told["id"])
    return told


@router.delete("/access/break-glass/{glass}")
def end_break_glass(glass: str, ctx: Ctx, unproven: Ender) -> dict[str, Any]:
    """Ends it before its time."""
    with ctx.runtime.db.read(unproven.tenant) as session:
        row = known_glass(session, unproven.tenant, glass)
        places = [NO_SOURCE] if row is None else [place.partition(":")[0] for place in row.places]
        cred = unproven.over_sources(session, places)
    told: dict[str, Any] = perform(ctx.runtime, of_key(cred), Asked("break_glass.end", {"id": glass})).told
    logger().warning("break_glass.end", tenant=cred.tenant, kind=glass)
    return told
