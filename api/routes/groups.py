"""Groups: each is put whole; If-Match guards against overwriting what was not seen."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import directory, etags
from api.actors import of_key
from api.changes import Asked, perform
from api.context import Ctx
from api.etags import IfMatch
from api.identity import Credential
from api.paging import Cursor, Limit, page
from api.rights import administers
from api.schemas.base import Key, Page
from api.schemas.directory import GroupBody, GroupView
from core.tables import Group

router = APIRouter(prefix="/v1", tags=["groups"])
Lister = Annotated[Credential, Depends(administers("group.read", "group:*"))]
Reader = Annotated[Credential, Depends(administers("group.read", "group:{key}"))]
Writer = Annotated[Credential, Depends(administers("group.write", "group:{key}"))]


@router.get("/groups")
def list_groups(ctx: Ctx, cred: Lister, limit: Limit = 50, cursor: Cursor = None) -> Page[GroupView]:
    """All of them."""
    with ctx.runtime.db.read(cred.tenant) as session:
        statement = select(Group).where(Group.tenant_id == cred.tenant)
        rows, following = page(session, statement, Group.id, limit=limit, cursor=cursor)
        return Page(data=[directory.group_view(session, row) for row in rows], next_cursor=following)


@router.get("/groups/{key}")
def get_group(key: str, ctx: Ctx, cred: Reader, response: Response) -> GroupView:
    """One of them, with its ETag."""
    with ctx.runtime.db.read(cred.tenant) as session:
        view = directory.group_view(session, directory.require(session, Group, cred.tenant, key))
    etags.tagged(response, view)
    return view


@router.put("/groups/{key}")
def put_group(
    *,
    key: Key,
    body: GroupBody,
    ctx: Ctx,
    cred: Writer,
    response: Response,
    if_match: IfMatch = None,
) -> GroupView:
    """Makes or replaces it; the change holds from the next query on."""

    def check(session: Session) -> None:
        row = directory.find(session, Group, cred.tenant, key)
        etags.check(directory.group_view(session, row) if row else None, if_match)

    asked = Asked("group.put", {"key": key, "body": body.model_dump(mode="json")})
    done = perform(ctx.runtime, of_key(cred), asked, check=check)
    view = GroupView.model_validate(done.told)
    response.status_code = 200 if done.before else 201
    etags.tagged(response, view)
    return view


@router.delete("/groups/{key}", status_code=204)
def delete_group(key: str, ctx: Ctx, cred: Writer, if_match: IfMatch = None) -> None:
    """Removes it; entries that name it lose their power."""

    def check(session: Session) -> None:
        row = directory.require(session, Group, cred.tenant, key)
        etags.check(directory.group_view(session, row), if_match)

    perform(ctx.runtime, of_key(cred), Asked("group.delete", {"key": key}), check=check)


@router.delete("/groups/{key}/members/{member}", status_code=204)
def remove_member(key: str, member: str, ctx: Ctx, cred: Writer) -> None:
    """Takes a principal out of a group, whoever put it there; a sync of a source may put it back."""
    perform(ctx.runtime, of_key(cred), Asked("group.leave", {"group": key, "member": member}))
