"""API keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import etags, keys
from api.context import Context, Ctx
from api.directory import key_members, key_views
from api.identity import Credential
from api.paging import Cursor, Limit, page
from api.rights import Unproven, administers, administers_some
from api.schemas.base import Page
from api.schemas.directory import KeyBody, KeyView, NewKeyView
from core.tables import ApiKey, App
from policies.grants import administered, refuse_lockout

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
    with ctx.runtime.db.write(unproven.tenant) as session:
        cred = unproven.over(session, f"app:{body.app}")
        row, key = keys.create(
            session, ctx.runtime.keyring, cred.tenant, body.app, body.rights, expires_at=body.expires_at
        )
        session.refresh(row)
        _audit(ctx, session, cred, "create", row, app=body.app, rights=row.rights)
        return NewKeyView(**key_members(row, body.app), key=key)


@router.delete("/keys/{prefix}")
def revoke_key(prefix: str, ctx: Ctx, unproven: Writer) -> KeyView:
    """Revokes a key; its next call is refused."""
    with ctx.runtime.db.write(unproven.tenant) as session:
        etags.lock(session, unproven.tenant)
        app = session.get(App, keys.find(session, unproven.tenant, prefix).app_id)
        cred = unproven.over(session, f"app:{app.key if app else '*'}")
        before = administered(session, cred.tenant)
        row = keys.revoke(session, cred.tenant, prefix)
        refuse_lockout(session, cred.tenant, before)
        _audit(ctx, session, cred, "revoke", row)
        return key_views(session, [row])[0]


def _audit(ctx: Context, session: Session, cred: Credential, verb: str, row: ApiKey, **extra: object) -> None:
    body = {"made": row.prefix, "key": cred.prefix, **extra}
    ctx.runtime.audit.append(session, cred.tenant, f"admin.key.{verb}", cred.actor, body)
