"""Access questions of admins: may this person read that document, and why. Each is recorded."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session

from api import documents
from api.context import Context, Ctx
from api.identity import Credential
from api.rights import Unproven, administers_some
from api.schemas.directory import AccessBody, AccessView
from policies.decide import decide
from policies.subject import Caller, Subject, resolve_subject

router = APIRouter(prefix="/v1", tags=["access"])
Asking = Annotated[Unproven, Depends(administers_some("access.act_as"))]
"""Who asks for another person acts as them; for whom, the body says."""


@router.post("/access/check")
def check_access(body: AccessBody, ctx: Ctx, unproven: Asking) -> AccessView:
    """Whether the person may read the document now."""
    with ctx.runtime.db.write(unproven.tenant) as session:
        cred, subject = _subject(session, unproven, body)
        row = documents.find(session, cred.tenant, body.document)
        verdict = decide(session, subject, [row.id])[row.id]
        _audit(ctx, session, cred, "check", body)
    return AccessView(allowed=verdict.allowed, reason=verdict.reason)


@router.post("/access/explain")
def explain_access(body: AccessBody, ctx: Ctx, unproven: Asking) -> dict[str, Any]:
    """The decision with the entry that made it, how the person comes to hold it, and everything it outweighed."""
    from policies.explain import explain

    with ctx.runtime.db.write(unproven.tenant) as session:
        cred, subject = _subject(session, unproven, body)
        row = documents.find(session, cred.tenant, body.document)
        told = explain(session, subject, row.id).as_dict()
        _audit(ctx, session, cred, "explain", body)
    return {**told, "document": row.public_id}


def _subject(session: Session, unproven: Unproven, body: AccessBody) -> tuple[Credential, Subject]:
    subject = resolve_subject(session, Caller(tenant=unproven.tenant, user=body.user, app=body.app))
    return unproven.over(session, f"user:{subject.name}"), subject


def _audit(ctx: Context, session: Session, cred: Credential, verb: str, body: AccessBody) -> None:
    entry = {"user": body.user, "document": body.document, "app": body.app, "key": cred.prefix}
    ctx.runtime.audit.append(session, cred.tenant, f"admin.access.{verb}", cred.actor, entry)
