"""Rules, put whole and checked when they are put, and the order of classifications."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import etags
from api.actors import of_key
from api.changes import Asked, perform, repeatable
from api.context import Ctx
from api.declare.rules import policy_body
from api.etags import IfMatch
from api.idempotency import Key as IdempotencyHeader
from api.identity import Credential
from api.paging import Cursor, Limit, page
from api.rights import administers
from api.schemas.administration import (
    ClassificationsBody,
    CountsView,
    PolicyBody,
    PolicyCountedView,
    PolicyView,
)
from api.schemas.base import Key, Page
from core.errors import NotFoundError
from core.tables import Policy
from policies.labels import classifications
from policies.rules_store import Reported, reports

router = APIRouter(prefix="/v1", tags=["policies"])
Lister = Annotated[Credential, Depends(administers("policy.read", "policy:*"))]
Reader = Annotated[Credential, Depends(administers("policy.read", "policy:{key}"))]
Writer = Annotated[Credential, Depends(administers("policy.write", "policy:{key}"))]
OrderReader = Annotated[Credential, Depends(administers("classification.read", "classification:*"))]
OrderWriter = Annotated[Credential, Depends(administers("classification.write", "classification:*"))]


@router.get("/policies")
def list_policies(ctx: Ctx, cred: Lister, limit: Limit = 50, cursor: Cursor = None) -> Page[PolicyCountedView]:
    """All rules, those that only report with their counts."""
    with ctx.runtime.db.read(cred.tenant) as session:
        statement = select(Policy).where(Policy.tenant_id == cred.tenant, Policy.epoch_to.is_(None))
        rows, following = page(session, statement, Policy.id, limit=limit, cursor=cursor)
        counted = {one.key: one for one in reports(session, cred.tenant)}
        return Page(data=[_counted(_of(row), counted.get(row.key)) for row in rows], next_cursor=following)


@router.get("/policies/{key}")
def get_policy(key: str, ctx: Ctx, cred: Reader, response: Response) -> PolicyCountedView:
    """One rule, with its ETag."""
    with ctx.runtime.db.read(cred.tenant) as session:
        view = _find(session, cred.tenant, key)
        if view is None:
            raise NotFoundError(f"there is no policy {key!r}")
        counted = {one.key: one for one in reports(session, cred.tenant)}
    etags.tagged(response, view)
    return _counted(view, counted.get(key))


@router.put("/policies/{key}")
def put_policy(
    *,
    key: Key,
    body: PolicyBody,
    ctx: Ctx,
    cred: Writer,
    response: Response,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyHeader = None,
) -> PolicyView:
    """Makes or changes a rule; it holds from the next query on. What is wrong is told with line and column."""
    asked = Asked("policy.put", {"key": key, "body": body.model_dump(mode="json")})
    done = perform(
        ctx.runtime,
        of_key(cred),
        asked,
        check=lambda session: etags.check(_find(session, cred.tenant, key), if_match),
        once=repeatable(cred, idempotency_key, asked),
    )
    view = PolicyView(id=key, **done.told)
    response.status_code = 200 if done.before else 201
    etags.tagged(response, view)
    return view


@router.delete("/policies/{key}", status_code=204)
def delete_policy(
    key: str, ctx: Ctx, cred: Writer, if_match: IfMatch = None, idempotency_key: IdempotencyHeader = None
) -> None:
    """Ends a rule."""
    asked = Asked("policy.delete", {"key": key})
    perform(
        ctx.runtime,
        of_key(cred),
        asked,
        check=lambda session: etags.check(_find(session, cred.tenant, key), if_match),
        once=repeatable(cred, idempotency_key, asked),
    )


@router.get("/classifications")
def get_classifications(ctx: Ctx, cred: OrderReader, response: Response) -> ClassificationsBody:
    """The classifications, lowest first, with their ETag."""
    with ctx.runtime.db.read(cred.tenant) as session:
        view = ClassificationsBody(order=classifications(session, cred.tenant))
    etags.tagged(response, view)
    return view


@router.put("/classifications")
def put_classifications(
    *,
    body: ClassificationsBody,
    ctx: Ctx,
    cred: OrderWriter,
    response: Response,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyHeader = None,
) -> ClassificationsBody:
    """Changes the order, or which there are; a label that is none of them ranks above all."""
    asked = Asked("classification.put", {"order": body.order})

    def check(session: Session) -> None:
        etags.check(ClassificationsBody(order=classifications(session, cred.tenant)), if_match)

    done = perform(ctx.runtime, of_key(cred), asked, check=check, once=repeatable(cred, idempotency_key, asked))
    view = ClassificationsBody(order=done.told)
    etags.tagged(response, view)
    return view


def _find(session: Session, tenant: int, key: str) -> PolicyView | None:
    body = policy_body(session, tenant, key)
    return PolicyView(id=key, **body) if body else None


def _of(row: Policy) -> PolicyView:
    return PolicyView.model_validate(
        {"id": row.key, "effect": row.effect, "when": row.condition, "enforced": row.enforced}
    )


def _counted(view: PolicyView, counted: Reported | None) -> PolicyCountedView:
    counts = None
    if counted is not None:
        counts = CountsView(
            queries=counted.queries, documents=counted.documents, places=counted.places, last_at=counted.last_at
        )
    return PolicyCountedView(**view.model_dump(), reported=counts)
