"""Users: each is put whole; If-Match guards against overwriting what was not seen."""

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
from api.schemas.directory import UserBody, UserView
from core.tables import User

router = APIRouter(prefix="/v1", tags=["users"])
Lister = Annotated[Credential, Depends(administers("user.read", "user:*"))]
Reader = Annotated[Credential, Depends(administers("user.read", "user:{key}"))]
Writer = Annotated[Credential, Depends(administers("user.write", "user:{key}"))]


@router.get("/users")
def list_users(ctx: Ctx, cred: Lister, limit: Limit = 50, cursor: Cursor = None) -> Page[UserView]:
    """All of them."""
    with ctx.runtime.db.read(cred.tenant) as session:
        statement = select(User).where(User.tenant_id == cred.tenant)
        rows, following = page(session, statement, User.id, limit=limit, cursor=cursor)
        return Page(data=[directory.user_view(session, row) for row in rows], next_cursor=following)


@router.get("/users/{key}")
def get_user(key: str, ctx: Ctx, cred: Reader, response: Response) -> UserView:
    """One of them, with its ETag."""
    with ctx.runtime.db.read(cred.tenant) as session:
        view = directory.user_view(session, directory.require(session, User, cred.tenant, key))
    etags.tagged(response, view)
    return view


@router.put("/users/{key}")
def put_user(
    *,
    key: Key,
    body: UserBody,
    ctx: Ctx,
    cred: Writer,
    response: Response,
    if_match: IfMatch = None,
) -> UserView:
    """Makes or replaces it; the change holds from the next query on."""

    def check(session: Session) -> None:
        row = directory.find(session, User, cred.tenant, key)
        etags.check(directory.user_view(session, row) if row else None, if_match)

    asked = Asked("user.put", {"key": key, "body": body.model_dump(mode="json")})
    done = perform(ctx.runtime, of_key(cred), asked, check=check)
    view = UserView.model_validate(done.told)
    response.status_code = 200 if done.before else 201
    etags.tagged(response, view)
    return view


@router.delete("/users/{key}", status_code=204)
def delete_user(key: str, ctx: Ctx, cred: Writer, if_match: IfMatch = None) -> None:
    """Removes it; entries that name it lose their power."""

    def check(session: Session) -> None:
        row = directory.require(session, User, cred.tenant, key)
        etags.check(directory.user_view(session, row), if_match)

    perform(ctx.runtime, of_key(cred), Asked("user.delete", {"key": key}), check=check)
