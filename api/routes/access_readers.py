"""Who can read a document, now or earlier, everyone of them; what a change would do; the access review."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy.orm import Session

from api import declare, documents
from api.context import Context, Ctx
from api.declare.shapes import check
from api.identity import Credential
from api.rights import Unproven, administers, administers_some
from api.schemas.access import HistoryBody, ReadersBody, SimulateBody
from api.schemas.base import Key
from core.errors import InvalidError
from policies import history, readers, review, review_pages, simulate
from policies.explain import explain
from policies.proposals import Proposal, ProposedEntry
from policies.subject import Caller, resolve_subject

router = APIRouter(prefix="/v1", tags=["access"])
Asking = Annotated[Credential, Depends(administers("access.act_as", "user:*"))]
"""Questions that are answered for everybody."""
AskingOne = Annotated[Unproven, Depends(administers_some("access.act_as"))]


@router.post("/access/who-can-read")
def who_can_read(body: ReadersBody, ctx: Ctx, cred: Asking) -> dict[str, Any]:
    """Everyone who may read the document now, each with the entry that lets them and the way to it."""
    with ctx.runtime.db.read(cred.tenant) as session:
        row = documents.find(session, cred.tenant, body.document)
        told = readers.who_can_read(session, cred.tenant, row.id, app=body.app).as_dict()
    _recorded(ctx, cred, "who_can_read", body.model_dump(mode="json"))
    return {**told, "document": body.document}


@router.post("/access/history")
def access_history(body: HistoryBody, ctx: Ctx, unproven: AskingOne) -> dict[str, Any]:
    """As `who-can-read`, or as `explain` where a person is named, of an earlier time."""
    with ctx.runtime.db.read(unproven.tenant) as session:
        name = "*" if body.user is None else _name(session, unproven.tenant, body.user)
        cred = unproven.over(session, f"user:{name}")
        row = documents.find(session, cred.tenant, body.document)
        then = history.moment(session, cred.tenant, at=body.at, epoch=body.epoch)
        with history.as_of(session, cred.tenant, then, [row.id]) as past:
            told = _then(past, cred.tenant, row.id, body)
    _recorded(ctx, cred, "history", body.model_dump(mode="json"))
    return {**told, "document": body.document}


@router.post("/access/simulate")
def simulate_access(body: SimulateBody, ctx: Ctx, cred: Asking) -> dict[str, Any]:
    """Who would gain or lose which documents; nothing is changed and nothing is locked."""
    declared = [_declared(one) for one in body.documents]
    rows = Proposal(
        entries=tuple(ProposedEntry(one.place, one.principal, one.effect, one.app) for one in body.entries),
        without=tuple(body.without),
        join=tuple((one.group, one.member) for one in body.join),
        leave=tuple((one.group, one.member) for one in body.leave),
    )

    def change(copy: Session) -> None:
        if declared or body.prune:
            declare.apply(copy, cred.tenant, declared, body.prune, audit=ctx.runtime.audit)
        rows.make(copy, cred.tenant)

    with ctx.runtime.db.read(cred.tenant) as session:
        told = simulate.simulate(session, cred.tenant, change, app=body.app).as_dict()
    _recorded(ctx, cred, "simulate", {"documents": len(declared), "prune": body.prune, "app": body.app})
    return told


@router.get("/access/review", response_model=None)
def review_access(
    *,
    ctx: Ctx,
    cred: Asking,
    group: Key | None = None,
    days: Annotated[int, Query(ge=1, le=3650)] = review.DAYS,
    open_to_all: str = review.OPEN_TO_ALL,
    form: Annotated[Literal["json", "csv", "html"], Query(alias="format")] = "json",
) -> dict[str, Any] | Response:
    """Who can read what, why and when they last did; and what an admin should look at."""
    with ctx.runtime.db.read(cred.tenant) as session:
        found = review.review(session, cred.tenant, group=group, days=days, highest=open_to_all)
    _recorded(ctx, cred, "review", {"group": group, "days": days, "lines": len(found.lines)})
    if form == "csv":
        return Response(review_pages.to_csv(found), media_type="text/csv")
    if form == "html":
        return Response(review_pages.to_html(found), media_type="text/html")
    return found.as_dict()


def _name(session: Session, tenant: int, user: str) -> str:
    """The person's id, by whatever name they are asked for."""
    return resolve_subject(session, Caller(tenant, user)).name


def _then(past: Session, tenant: int, document: int, body: HistoryBody) -> dict[str, Any]:
    if body.user is None:
        return readers.who_can_read(past, tenant, document, app=body.app).as_dict()
    return explain(past, resolve_subject(past, Caller(tenant, body.user, body.app)), document).as_dict()


def _declared(body: Mapping[str, Any]) -> declare.Declared:
    rest = dict(body)
    kind, key = rest.pop("kind", None), rest.pop("id", None)
    if not isinstance(kind, str) or not isinstance(key, str):
        raise InvalidError("a document has no kind or no id", errors=[{"field": "documents"}])
    return declare.Declared(kind, key, check(kind, key, rest))


def _recorded(ctx: Context, cred: Credential, verb: str, body: dict[str, Any]) -> None:
    """Writes the audit entry of a question, in a transaction of its own; without it nothing is shown."""
    with ctx.runtime.db.write(cred.tenant) as session:
        entry = {**body, "key": cred.prefix}
        ctx.runtime.audit.append(session, cred.tenant, f"admin.access.{verb}", cred.actor, entry)
