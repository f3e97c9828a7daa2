"""What admins state at places and for single documents, and waivers of denies that name nobody known."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.actors import of_key
from api.changes import Asked, perform, repeatable
from api.context import Ctx
from api.idempotency import Key as IdempotencyHeader
from api.places import check_right
from api.rights import Unproven, administers_some
from api.schemas.access import AdminAccessBody, AdminAccessView
from api.schemas.administration import StatedView
from policies.entries import admin_entries, admin_labels, source_of_standing

router = APIRouter(prefix="/v1", tags=["access"])
Reader = Annotated[Unproven, Depends(administers_some("entry.read"))]
Writer = Annotated[Unproven, Depends(administers_some("entry.write"))]


@router.get("/access/entries")
def list_entries(ctx: Ctx, unproven: Reader, source: Annotated[str | None, Query(max_length=128)] = None) -> StatedView:
    """What admins have stated, everywhere or in one source."""
    with ctx.runtime.db.read(unproven.tenant) as session:
        cred = unproven.over(session, f"source:{'*' if source is None else source}")
        found = [one.as_dict() for one in admin_entries(session, cred.tenant, source)]
        return StatedView(entries=found, labels=admin_labels(session, cred.tenant, source))


@router.put("/access/entries")
def put_entries(
    body: AdminAccessBody, ctx: Ctx, unproven: Writer, idempotency_key: IdempotencyHeader = None
) -> AdminAccessView:
    """Makes this all that admins state at a place or for one document, from the next query on; a sync leaves it."""
    with ctx.runtime.db.read(unproven.tenant) as session:
        cred = check_right(session, unproven, body)
    asked = Asked("entries.put", {"body": body.model_dump(mode="json")})
    done = perform(ctx.runtime, of_key(cred), asked, once=repeatable(cred, idempotency_key, asked))
    ctx.wake("place")
    return AdminAccessView.model_validate(done.told)


@router.post("/access/entries/{entry}/waive")
def waive_entry(entry: int, ctx: Ctx, unproven: Writer) -> dict[str, Any]:
    """Lets a deny that names nobody known stand open, until somebody is known by that name."""
    with ctx.runtime.db.read(unproven.tenant) as session:
        cred = unproven.over_source(session, source_of_standing(session, unproven.tenant, entry))
    perform(ctx.runtime, of_key(cred), Asked("entry.waive", {"entry": entry}))
    return {"entry": entry, "waived": True}
