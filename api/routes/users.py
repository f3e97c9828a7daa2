"""Users: each is put whole; If-Match guards against overwriting what was not seen."""

from __future__ import annotations

from fastapi import APIRouter, Response
from sqlalchemy import select

from api import directory, etags
from api.context import Ctx
from api.etags import IfMatch
from api.identity import Admin
from api.paging import Cursor, Limit, page
from api.schemas.base import Key, Page
from api.schemas.directory import UserBody, UserView
from core.tables import User
from policies.directory import remove

router = APIRouter(prefix="/v1", tags=["users"])


@router.get("/users")
def list_users(ctx: Ctx, cred: Admin, limit: Limit = 50, cursor: Cursor = None) -> Page[UserView]:
    """All of them."""
    with ctx.runtime.db.read() as session:
        statement = select(User).where(User.tenant_id == cred.tenant)
        rows, following = page(session, statement, User.id, limit=limit, cursor=cursor)
        return Page(data=[directory.user_view(session, row) for row in rows], next_cursor=following)


@router.get("/users/{key}")
def get_user(key: str, ctx: Ctx, cred: Admin, response: Response) -> UserView:
    """One of them, with its ETag."""
    with ctx.runtime.db.read() as session:
        view = directory.user_view(session, directory.require(session, User, cred.tenant, key))
    etags.tagged(response, view)
    return view


@router.put("/users/{key}")
def put_user(
    *,
    key: Key,
    body: UserBody,
    ctx: Ctx,
    cred: Admin,
    response: Response,
    if_match: IfMatch = None,
) -> UserView:
    """Makes or replaces it; the change holds from the next query on."""
    with ctx.runtime.db.write() as session:
        etags.lock(session, cred.tenant)
        row = directory.find(session, User, cred.tenant, key)
        etags.check(directory.user_view(session, row) if row else None, if_match)
        view = directory.put_user(session, cred.tenant, key, body)
        entry = {"user": key, "key": cred.prefix}
        ctx.runtime.audit.append(session, cred.tenant, "admin.user.put", cred.actor, entry)
    response.status_code = 200 if row else 201
    etags.tagged(response, view)
    return view


@router.delete("/users/{key}", status_code=204)
def delete_user(key: str, ctx: Ctx, cred: Admin, if_match: IfMatch = None) -> None:
    """Removes it; entries that name it lose their power."""
    with ctx.runtime.db.write() as session:
        etags.lock(session, cred.tenant)
        row = directory.require(session, User, cred.tenant, key)
        etags.check(directory.user_view(session, row), if_match)
        remove(session, cred.tenant, f"user:{key}")
        entry = {"user": key, "key": cred.prefix}
        ctx.runtime.audit.append(session, cred.tenant, "admin.user.delete", cred.actor, entry)
