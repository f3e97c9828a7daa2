"""Apps: each is put whole; If-Match guards against overwriting what was not seen."""

from __future__ import annotations

from fastapi import APIRouter, Response
from sqlalchemy import select

from api import directory, etags
from api.context import Ctx
from api.etags import IfMatch
from api.identity import Admin
from api.paging import Cursor, Limit, page
from api.schemas.base import Key, Page
from api.schemas.directory import AppBody, AppView
from core.tables import App
from policies.directory import remove

router = APIRouter(prefix="/v1", tags=["apps"])


@router.get("/apps")
def list_apps(ctx: Ctx, cred: Admin, limit: Limit = 50, cursor: Cursor = None) -> Page[AppView]:
    """All of them."""
    with ctx.runtime.db.read() as session:
        statement = select(App).where(App.tenant_id == cred.tenant)
        rows, following = page(session, statement, App.id, limit=limit, cursor=cursor)
        return Page(data=[directory.app_view(session, row) for row in rows], next_cursor=following)


@router.get("/apps/{key}")
def get_app(key: str, ctx: Ctx, cred: Admin, response: Response) -> AppView:
    """One of them, with its ETag."""
    with ctx.runtime.db.read() as session:
        view = directory.app_view(session, directory.require(session, App, cred.tenant, key))
    etags.tagged(response, view)
    return view


@router.put("/apps/{key}")
def put_app(
    *,
    key: Key,
    body: AppBody,
    ctx: Ctx,
    cred: Admin,
    response: Response,
    if_match: IfMatch = None,
) -> AppView:
    """Makes or replaces it; the change holds from the next query on."""
    with ctx.runtime.db.write() as session:
        etags.lock(session, cred.tenant)
        row = directory.find(session, App, cred.tenant, key)
        etags.check(directory.app_view(session, row) if row else None, if_match)
        view = directory.put_app(session, cred.tenant, key, body)
        entry = {"app": key, "key": cred.prefix}
        ctx.runtime.audit.append(session, cred.tenant, "admin.app.put", cred.actor, entry)
    response.status_code = 200 if row else 201
    etags.tagged(response, view)
    return view


@router.delete("/apps/{key}", status_code=204)
def delete_app(key: str, ctx: Ctx, cred: Admin, if_match: IfMatch = None) -> None:
    """Removes it; entries that name it lose their power."""
    with ctx.runtime.db.write() as session:
        etags.lock(session, cred.tenant)
        row = directory.require(session, App, cred.tenant, key)
        etags.check(directory.app_view(session, row), if_match)
        remove(session, cred.tenant, f"app:{key}")
        entry = {"app": key, "key": cred.prefix}
        ctx.runtime.audit.append(session, cred.tenant, "admin.app.delete", cred.actor, entry)
