"""Groups: each is put whole; If-Match guards against overwriting what was not seen."""

from __future__ import annotations

from fastapi import APIRouter, Response
from sqlalchemy import select

from api import directory, etags
from api.context import Ctx
from api.etags import IfMatch
from api.identity import Admin
from api.paging import Cursor, Limit, page
from api.schemas.base import Key, Page
from api.schemas.directory import GroupBody, GroupView
from core.tables import Group
from policies.directory import remove
from policies.directory import remove_member as take_out
from policies.model import check_principal

router = APIRouter(prefix="/v1", tags=["groups"])


@router.get("/groups")
def list_groups(ctx: Ctx, cred: Admin, limit: Limit = 50, cursor: Cursor = None) -> Page[GroupView]:
    """All of them."""
    with ctx.runtime.db.read() as session:
        statement = select(Group).where(Group.tenant_id == cred.tenant)
        rows, following = page(session, statement, Group.id, limit=limit, cursor=cursor)
        return Page(data=[directory.group_view(session, row) for row in rows], next_cursor=following)


@router.get("/groups/{key}")
def get_group(key: str, ctx: Ctx, cred: Admin, response: Response) -> GroupView:
    """One of them, with its ETag."""
    with ctx.runtime.db.read() as session:
        view = directory.group_view(session, directory.require(session, Group, cred.tenant, key))
    etags.tagged(response, view)
    return view


@router.put("/groups/{key}")
def put_group(
    *,
    key: Key,
    body: GroupBody,
    ctx: Ctx,
    cred: Admin,
    response: Response,
    if_match: IfMatch = None,
) -> GroupView:
    """Makes or replaces it; the change holds from the next query on."""
    with ctx.runtime.db.write() as session:
        etags.lock(session, cred.tenant)
        row = directory.find(session, Group, cred.tenant, key)
        etags.check(directory.group_view(session, row) if row else None, if_match)
        view = directory.put_group(session, cred.tenant, key, body)
        entry = {"group": key, "key": cred.prefix}
        ctx.runtime.audit.append(session, cred.tenant, "admin.group.put", cred.actor, entry)
    response.status_code = 200 if row else 201
    etags.tagged(response, view)
    return view


@router.delete("/groups/{key}", status_code=204)
def delete_group(key: str, ctx: Ctx, cred: Admin, if_match: IfMatch = None) -> None:
    """Removes it; entries that name it lose their power."""
    with ctx.runtime.db.write() as session:
        etags.lock(session, cred.tenant)
        row = directory.require(session, Group, cred.tenant, key)
        etags.check(directory.group_view(session, row), if_match)
        remove(session, cred.tenant, f"group:{key}")
        entry = {"group": key, "key": cred.prefix}
        ctx.runtime.audit.append(session, cred.tenant, "admin.group.delete", cred.actor, entry)


@router.delete("/groups/{key}/members/{member}", status_code=204)
def remove_member(key: str, member: str, ctx: Ctx, cred: Admin) -> None:
    """Takes a principal out of a group, whoever put it there; a sync of a source may put it back."""
    with ctx.runtime.db.write() as session:
        etags.lock(session, cred.tenant)
        directory.require(session, Group, cred.tenant, key)
        found = take_out(session, cred.tenant, key, check_principal(member))
        entry = {"group": key, "member": member, "found": found, "key": cred.prefix}
        ctx.runtime.audit.append(session, cred.tenant, "admin.group.remove_member", cred.actor, entry)
