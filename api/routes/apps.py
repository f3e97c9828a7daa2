"""Apps: each is put whole; If-Match guards against overwriting what was not seen."""

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
from api.schemas.directory import AppBody, AppView
from core.tables import App

router = APIRouter(prefix="/v1", tags=["apps"])
Lister = Annotated[Credential, Depends(administers("app.read", "app:*"))]
Reader = Annotated[Credential, Depends(administers("app.read", "app:{key}"))]
Writer = Annotated[Credential, Depends(administers("app.write", "app:{key}"))]


@router.get("/apps")
def list_apps(ctx: Ctx, cred: Lister, limit: Limit = 50, cursor: Cursor = None) -> Page[AppView]:
    """All of them."""
    with ctx.runtime.db.read(cred.tenant) as session:
        statement = select(App).where(App.tenant_id == cred.tenant)
        rows, following = page(session, statement, App.id, limit=limit, cursor=cursor)
        return Page(data=[directory.app_view(session, row) for row in rows], next_cursor=following)


@router.get("/apps/{key}")
def get_app(key: str, ctx: Ctx, cred: Reader, response: Response) -> AppView:
    """One of them, with its ETag."""
    with ctx.runtime.db.read(cred.tenant) as session:
        view = directory.app_view(session, directory.require(session, App, cred.tenant, key))
    etags.tagged(response, view)
    return view


@router.put("/apps/{key}")
def put_app(
    *,
    key: Key,
    body: AppBody,
    ctx: Ctx,
    cred: Writer,
    response: Response,
    if_match: IfMatch = None,
) -> AppView:
    """Makes or replaces it; the change holds from the next query on."""

    def check(session: Session) -> None:
        row = directory.find(session, App, cred.tenant, key)
        etags.check(directory.app_view(session, row) if row else None, if_match)

    asked = Asked("app.put", {"key": key, "body": body.model_dump(mode="json")})
    done = perform(ctx.runtime, of_key(cred), asked, check=check)
    view = AppView.model_validate(done.told)
    response.status_code = 200 if done.before else 201
    etags.tagged(response, view)
    return view


@router.delete("/apps/{key}", status_code=204)
def delete_app(key: str, ctx: Ctx, cred: Writer, if_match: IfMatch = None) -> None:
    """Removes it; entries that name it lose their power."""

    def check(session: Session) -> None:
        row = directory.require(session, App, cred.tenant, key)
        etags.check(directory.app_view(session, row), if_match)

    perform(ctx.runtime, of_key(cred), Asked("app.delete", {"key": key}), check=check)
