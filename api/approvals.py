"""What waits for a second person: kept as it was asked for, made when another person approves what it still does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import etags
from api.actors import LOCAL, Actor
from api.making import Asked, Made, make
from api.runtime import Runtime
from core.db import now
from core.errors import ConflictError, ForbiddenError, HeldError, NotFoundError, StaleApprovalError
from core.ids import public_id
from core.secrets import Keyring
from core.tables import Approval

PENDING = "pending"


def hold(runtime: Runtime, actor: Actor, asked: Asked, made: Made) -> HeldError:
    """Keeps a change that was not made; the same asked for twice by one actor waits once."""
    name = hashlib.blake2b(asked.text.encode(), digest_size=16).hexdigest()
    with runtime.db.write(actor.tenant) as session:
        etags.lock(session, actor.tenant)
        row = _same(session, actor, name, made.digest) or _kept(session, runtime, actor, asked, made, name=name)
        held = row.public_id
    found = made.widening
    counted = "at least " if found.at_least else ""
    return HeldError(
        f"held, needs a second person: {counted}{found.people} people would gain {counted}{found.documents} documents"
        f"{f' ({found.why})' if found.why else ''}; nothing was changed, and somebody else decides: "
        f"`ambit approvals approve {held}`",
        approval=held,
    )


def approve(runtime: Runtime, actor: Actor, name: str, note: str = "") -> Approval:
    """Makes what waits, as another person than who proposed it, if it still does exactly what was shown.

    Raises:
        NotFoundError: there is none.
        ForbiddenError: the actor proposed it, or lacks the right; or the proposer lost theirs.
        ConflictError: it is decided already, or waited too long.
        StaleApprovalError: it would do something else now.
    """
    try:
        with runtime.db.write(actor.tenant) as session:
            etags.lock(session, actor.tenant)
            row = _open(session, actor, name)
            actor.require(session, "approval.decide", f"approval:{name}")
            _refuse_same(actor, row)
            proposer = replace(_proposer(row), noted=(*_proposer(row).noted, ("approval", name), ("by", actor.name)))
            made = make(session, runtime, proposer, _asked(runtime.keyring, row))
            if made.digest != row.digest:
                raise _OtherwiseError
            _decide(session, runtime, actor, row, state="approved", note=note)
            return row
    except _OtherwiseError:
        _end(runtime, actor, name, "stale")
    raise StaleApprovalError(f"{name} would no longer do what was shown; propose the change anew")


def reject(runtime: Runtime, actor: Actor, name: str, note: str = "") -> Approval:
    """Ends what waits without making it; who proposed it may take it back so.

    Raises:
        NotFoundError: there is none.
        ForbiddenError: the actor neither proposed it nor has the right.
        ConflictError: it is decided already, or waited too long.
    """
    with runtime.db.write(actor.tenant) as session:
        etags.lock(session, actor.tenant)
        row = _open(session, actor, name)
        if (actor.name, actor.hand) != (row.proposer, row.hand):
            actor.require(session, "approval.decide", f"approval:{name}")
        _decide(session, runtime, actor, row, state="rejected", note=note)
        return row


def find(session: Session, tenant: int, name: str) -> Approval:
    """The one of that id.

    Raises:
        NotFoundError: there is none.
    """
    row = session.scalars(
        select(Approval).where(Approval.tenant_id == tenant, Approval.public_id == name)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is nothing to approve by the id {name!r}")
    return row


def told(session: Session, row: Approval) -> dict[str, Any]:
    """What of it is shown, as plain JSON; what waited too long is expired."""
    late = row.state == PENDING and row.expires_at <= now(session)
    return {
        "id": row.public_id,
        "state": "expired" if late else row.state,
        "operation": row.operation,
        "summary": row.summary,
        "effect": row.effect,
        "needs": row.needs,
        "proposed_by": row.proposer,
        "hand": row.hand,
        "created_at": row.created_at.isoformat(),
        "expires_at": row.expires_at.isoformat(),
        "decided_at": row.decided_at.isoformat() if row.decided_at else None,
        "decided_by": row.decided_by,
        "note": row.note,
    }


class _OtherwiseError(Exception):
    """Ends the transaction of an approval whose change would do something else."""


def _kept(session: Session, runtime: Runtime, actor: Actor, asked: Asked, made: Made, *, name: str) -> Approval:
    at = now(session)
    row = Approval(
        public_id=public_id("apr"),
        tenant_id=actor.tenant,
        operation=asked.operation,
        request=runtime.keyring.seal(asked.text),
        request_hash=name,
        needs=list(made.needs),
        summary=_summary(made),
        effect=made.widening.as_dict(),
        digest=made.digest,
        proposer=actor.name,
        hand=actor.hand,
        created_at=at,
        expires_at=at + timedelta(hours=runtime.settings.approval_hours),
    )
    session.add(row)
    session.flush()
    body: dict[str, Any] = {"approval": row.public_id, "operation": asked.operation, "summary": row.summary}
    body |= {"people": made.widening.people, "documents": made.widening.documents}
    before, after = made.changed.before, made.changed.after
    runtime.audit.change(
        session, actor.tenant, "approval.propose", actor.name, actor.note(body), before=before, after=after
    )
    return row


def _summary(made: Made) -> str:
    """What would change, by name: of documents their ids, of anything else what its audit entry names."""
    if isinstance(made.changed.told, list):
        changed = [one for one in made.changed.told if getattr(one, "action", "unchanged") != "unchanged"]
        return ", ".join(f"{one.action} {one.kind}/{one.id}" for one in changed[:20]) + (
            f" and {len(changed) - 20} more" if len(changed) > 20 else ""
        )
    return " ".join([made.changed.kind, *(f"{name}={value}" for name, value in made.changed.body.items())])


def _same(session: Session, actor: Actor, name: str, digest: str) -> Approval | None:
    return session.scalars(
        select(Approval)
        .where(
            Approval.tenant_id == actor.tenant,
            Approval.state == PENDING,
            Approval.request_hash == name,
            Approval.digest == digest,
            Approval.proposer == actor.name,
            Approval.hand == actor.hand,
            Approval.expires_at > now(session),
        )
        .limit(1)
    ).first()


def _open(session: Session, actor: Actor, name: str) -> Approval:
    row = find(session, actor.tenant, name)
    state = told(session, row)["state"]
    if state != PENDING:
        raise ConflictError(f"{name} is {state}; propose the change anew where it is still wanted")
    return row


def _refuse_same(actor: Actor, row: Approval) -> None:
    if actor.hand == row.hand or (actor.name == row.proposer and actor.name != LOCAL):
        raise ForbiddenError(
            f"{row.proposer} proposed this by {row.hand}; it takes another person, by a key of another app or another "
            "login, to approve it"
        )


def _proposer(row: Approval) -> Actor:
    """Who proposed it, with the rights that they have now; what a token gave ended with it."""
    if row.proposer == LOCAL:
        return Actor(row.tenant_id, LOCAL, row.hand, (("login", row.hand.partition(":")[2]),))
    kind, _, key = row.proposer.partition(":")
    app = row.hand.split(":")[1] if row.hand.startswith(("app:", "token:")) else None
    noted = (("app", app),) if app and kind == "user" else ()
    return Actor(row.tenant_id, row.proposer, row.hand, noted, user=key if kind == "user" else None, app=app)


def _asked(keyring: Keyring, row: Approval) -> Asked:
    operation, args = json.loads(keyring.open(row.request))
    return Asked(operation, args)


def _decide(session: Session, runtime: Runtime, actor: Actor, row: Approval, *, state: str, note: str = "") -> None:
    row.state, row.decided_by, row.decided_at, row.note = state, actor.name, now(session), note
    row.request = ""
    body = {"approval": row.public_id, "operation": row.operation, "proposed_by": row.proposer, "hand": row.hand}
    body = actor.note({**body, "by_hand": actor.hand})
    runtime.audit.change(session, actor.tenant, f"approval.{state}", actor.name, body, before=PENDING, after=state)
    session.flush()


def _end(runtime: Runtime, actor: Actor, name: str, state: str) -> None:
    with runtime.db.write(actor.tenant) as session:
        row = find(session, actor.tenant, name)
        if row.state == PENDING:
            _decide(session, runtime, actor, row, state=state)
