"""API keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select

from api import keys
from api.actors import of_key
from api.changes import Asked, perform
from api.context import Ctx
from api.directory import key_views
from api.identity import Credential
from api.paging import Cursor, Limit, page
from api.rights import Unproven, administers, administers_some
from api.schemas.base import Page
from api.schemas.directory import KeyBody, KeyView, NewKeyView
from core.tables import ApiKey

router = APIRouter(prefix="/v1", tags=["keys"])
Lister = Annotated[Credential, Depends(administers("key.read", "app:*"))]
Writer = Annotated[Unproven, Depends(administers_some("key.write"))]


@router.get("/keys")
def list_keys(ctx: Ctx, cred: Lister, limit: Limit = 50, cursor: Cursor = None) -> Page[KeyView]:
    """Keys, without what proves them."""
    statement = select(ApiKey).where(ApiKey.tenant_id == cred.tenant)
    with ctx.runtime.db.read(cred.tenant) as session:
        rows, following = page(session, statement, ApiKey.id, limit=limit, cursor=cursor)
        return Page(data=key_views(session, rows), next_cursor=following)


@router.post("/keys", status_code=201)
def create_key(body: KeyBody, ctx: Ctx, unproven: Writer) -> NewKeyView:
    """Makes a key and shows it this once."""
    with ctx.runtime.db.read(unproven.tenant) as session:
        cred = unproven.over(session, f"app:{body.app}")
    done = perform(ctx.runtime, of_key(cred), Asked("key.create", {"body": body.model_dump(mode="json")}))
    return NewKeyView.model_validate(done.told)


@router.delete("/keys/{prefix}")
def revoke_key(prefix: str, ctx: Ctx, unproven: Writer) -> KeyView:
    """Revokes a key; its next call is refused."""
    with ctx.runtime.db.read(unproven.tenant) as session:
        app = keys.app_of(session, unproven.tenant, prefix)
        cred = unproven.over(session, f"app:{app or '*'}")
    return KeyView.model_validate(perform(ctx.runtime, of_key(cred), Asked("key.revoke", {"prefix": prefix})).told)
