"""The one way in which an administrator changes something: rights, change, guards and audit in one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api import etags, idempotency
from api.actors import Actor
from api.identity import Credential
from api.operations import OPERATIONS, Args, Changed, Doing
from api.runtime import Runtime
from policies.grants import administered, refuse_lockout

Check = Callable[[Session], None]
Once = Callable[[Session, Callable[[], Changed]], Changed]


@dataclass(frozen=True, slots=True)
class Asked:
    """A change that somebody asks for: the name of an operation and what it is given, as plain JSON."""

    operation: str
    args: Args


def perform(
    runtime: Runtime, actor: Actor, asked: Asked, *, check: Check | None = None, once: Once | None = None
) -> Changed:
    """Makes a change, or nothing of it.

    `check` runs before it in the same transaction, under the tenant's lock, and may refuse. `once` is given the change
    and may answer with what it came to before instead (`repeatable`).

    Raises:
        ForbiddenError: the actor lacks a right that the change needs.
        ConflictError: nobody could administer afterwards.
        AmbitError: whatever the operation refuses.
    """
    with runtime.db.write(actor.tenant) as session:
        etags.lock(session, actor.tenant)

        def change() -> Changed:
            if check is not None:
                check(session)
            return make(session, runtime, actor, asked)

        return change() if once is None else once(session, change)


def repeatable(cred: Credential, key: str | None, asked: Asked) -> Once:
    """Makes a change once for an `Idempotency-Key` and tells the same again; what it tells must be plain JSON."""
    text = json.dumps([asked.operation, asked.args], sort_keys=True)
    request = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def once(session: Session, change: Callable[[], Changed]) -> Changed:
        def act() -> dict[str, Any]:
            done = change()
            return {"before": done.before, "told": done.told}

        answer, _ = idempotency.once(session, cred, key, request, act)
        return Changed("", {}, before=answer["before"], told=answer["told"])

    return once


def make(session: Session, runtime: Runtime, actor: Actor, asked: Asked) -> Changed:
    """As `perform`, within the caller's transaction."""
    operation = OPERATIONS[asked.operation]
    doing = Doing(session, runtime, actor)
    for right, target in operation.needs(doing, asked.args):
        actor.require(session, right, target)
    before = administered(session, actor.tenant)
    done = operation.do(doing, asked.args)
    session.flush()
    refuse_lockout(session, actor.tenant, before)
    if done.kind:
        body = {**done.body, "before": done.before, "after": done.after}
        runtime.audit.append(session, actor.tenant, done.kind, actor.name, actor.note(body))
    return done
