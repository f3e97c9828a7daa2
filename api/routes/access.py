"""Access questions of admins: may this person read that document, and why. Each is recorded."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session

from api import documents, places
from api.context import Context, Ctx
from api.identity import Admin, Credential
from api.schemas.access import AdminAccessBody, AdminAccessView
from api.schemas.directory import AccessBody, AccessView
from policies.decide import decide
from policies.subject import Caller, Subject, resolve_subject

router = APIRouter(prefix="/v1", tags=["access"])


@router.post("/access/check")
def check_access(body: AccessBody, ctx: Ctx, cred: Admin) -> AccessView:
    """Whether the person may read the document now."""
    with ctx.runtime.db.write() as session:
        row = documents.find(session, cred.tenant, body.document)
        verdict = decide(session, _subject(session, cred, body), [row.id])[row.id]
        _audit(ctx, session, cred, "check", body)
    return AccessView(allowed=verdict.allowed, reason=verdict.reason)


@router.post("/access/explain")
def explain_access(body: AccessBody, ctx: Ctx, cred: Admin) -> dict[str, Any]:
    """The decision with the entry that made it, how the person comes to hold it, and everything it outweighed."""
    from policies.explain import explain

    with ctx.runtime.db.write() as session:
        row = documents.find(session, cred.tenant, body.document)
        told = explain(session, _subject(session, cred, body), row.id).as_dict()
        _audit(ctx, session, cred, "explain", body)
    return {**told, "document": row.public_id}


@router.put("/access/entries")
def put_entries(body: AdminAccessBody, ctx: Ctx, cred: Admin) -> AdminAccessView:
    """Makes this all that admins state at a place or for one document, from the next query on; a sync leaves it."""
    with ctx.runtime.db.write() as session:
        before, after = places.put(session, cred.tenant, body, actor=cred.actor)
        entry = {"before": before.model_dump(mode="json"), "after": after.model_dump(mode="json"), "key": cred.prefix}
        ctx.runtime.audit.append(session, cred.tenant, "admin.access.entries", cred.actor, entry)
    ctx.wake("place")
    return after


def _subject(session: Session, cred: Credential, body: AccessBody) -> Subject:
    return resolve_subject(session, Caller(tenant=cred.tenant, user=body.user, app=body.app))


def _audit(ctx: Context, session: Session, cred: Credential, verb: str, body: AccessBody) -> None:
    entry = {"user": body.user, "document": body.document, "app": body.app, "key": cred.prefix}
    ctx.runtime.audit.append(session, cred.tenant, f"admin.access.{verb}", cred.actor, entry)
