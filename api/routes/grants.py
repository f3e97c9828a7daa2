"""Who may administer what."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from api import etags
from api.actors import of_key
from api.changes import Asked, perform, repeatable
from api.context import Ctx
from api.declare.shapes import GrantBody
from api.etags import IfMatch
from api.idempotency import Key as IdempotencyHeader
from api.identity import Cred, Credential
from api.rights import acting_as, administers, marked, subject_of
from api.schemas.administration import GrantView, RightBody
from api.schemas.base import Key, Page
from core.errors import InvalidError, NotFoundError
from policies.grants import check_object, grant_bodies
from policies.rights import RIGHTS, decide_right, who

router = APIRouter(prefix="/v1", tags=["grants"])
Lister = Annotated[Credential, Depends(administers("grant.read", "grant:*"))]
Reader = Annotated[Credential, Depends(administers("grant.read", "grant:{key}"))]
Writer = Annotated[Credential, Depends(administers("grant.write", "grant:{key}"))]


@router.get("/grants")
def list_grants(ctx: Ctx, cred: Lister) -> Page[GrantView]:
    """All of them, the first admin's too."""
    with ctx.runtime.db.read(cred.tenant) as session:
        found = grant_bodies(session, cred.tenant)
    return Page(data=[GrantView(id=key, **body) for key, body in found.items()])


@router.get("/grants/{key}")
def get_grant(key: str, ctx: Ctx, cred: Reader, response: Response) -> GrantView:
    """One of them, with its ETag."""
    with ctx.runtime.db.read(cred.tenant) as session:
        view = _find(session, cred.tenant, key)
    if view is None:
        raise NotFoundError(f"there is no grant {key!r}")
    etags.tagged(response, view)
    return view


@router.put("/grants/{key}")
def put_grant(
    *,
    key: Key,
    body: GrantBody,
    ctx: Ctx,
    cred: Writer,
    response: Response,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyHeader = None,
) -> GrantView:
    """Makes or replaces a grant. Nobody gives more than they have."""
    asked = Asked("grant.put", {"key": key, "body": body.model_dump(mode="json")})
    done = perform(
        ctx.runtime,
        of_key(cred),
        asked,
        check=lambda session: etags.check(_find(session, cred.tenant, key), if_match),
        once=repeatable(cred, idempotency_key, asked),
    )
    view = GrantView(id=key, **done.told)
    response.status_code = 200 if done.before else 201
    etags.tagged(response, view)
    return view


@router.delete("/grants/{key}", status_code=204)
def delete_grant(key: str, ctx: Ctx, cred: Writer, if_match: IfMatch = None) -> None:
    """Ends a grant; never so that nobody could administer any more."""
    asked = Asked("grant.delete", {"key": key})
    perform(
        ctx.runtime,
        of_key(cred),
        asked,
        check=lambda session: etags.check(_find(session, cred.tenant, key), if_match),
    )


def asker(request: Request, ctx: Ctx, cred: Cred) -> Credential:
    """Whoever asks: for themselves anybody may; for others it takes the right `grant.read`."""
    return acting_as(request, ctx, cred)


@router.post("/access/rights")
def explain_right(
    body: RightBody, ctx: Ctx, cred: Annotated[Credential, Depends(marked(asker, "grant.read", "…"))]
) -> dict[str, Any]:
    """Whether somebody (absent: the caller) may do something, by which grant and on which way, and what lost."""
    if body.right not in RIGHTS:
        raise InvalidError(f"{body.right!r} is no right", errors=[{"field": "right"}])
    with ctx.runtime.db.read(cred.tenant) as session:
        if body.user is None and body.app is None:
            subject = subject_of(session, cred)
        else:
            actor = of_key(cred)
            actor.require(session, "grant.read", "grant:*")
            subject = who(session, cred.tenant, user=body.user, app=body.app)
        return decide_right(session, subject, body.right, check_object(body.object)).as_dict()


def _find(session: Session, tenant: int, key: str) -> GrantView | None:
    body = grant_bodies(session, tenant).get(key)
    return GrantView(id=key, **body) if body else None
