"""The one way in which an administrator changes something: rights, change, guards and audit in one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from api import approvals, etags, idempotency
from api.actors import Actor
from api.identity import Credential
from api.making import Asked, Made, make
from api.operation import Changed
from api.runtime import Runtime

Check = Callable[[Session], None]
Once = Callable[[Session, Callable[[], Changed]], Changed]
__all__ = ["Asked", "perform", "repeatable"]


def perform(
    runtime: Runtime, actor: Actor, asked: Asked, *, check: Check | None = None, once: Once | None = None
) -> Changed:
    """Makes a change, or nothing of it; one that widens access too far is kept for a second person instead.

    `check` runs before it in the same transaction, under the tenant's lock, and may refuse. `once` is given the change
    and may answer with what it came to before instead (`repeatable`).

    Raises:
        ForbiddenError: the actor lacks a right that the change needs.
        HeldError: it waits for a second person.
        ConflictError: nobody could administer afterwards.
        AmbitError: whatever the operation refuses.
    """
    try:
        with runtime.db.write(actor.tenant) as session:
            etags.lock(session, actor.tenant)

            def change() -> Changed:
                if check is not None:
                    check(session)
                made = make(session, runtime, actor, asked)
                if made.widening.held:
                    raise _TooWideError(made)
                return made.changed

            return change() if once is None else once(session, change)
    except _TooWideError as wide:
        made = wide.made
    raise approvals.hold(runtime, actor, asked, made)


class _TooWideError(Exception):
    """Ends the transaction of a change that needs a second person."""

    def __init__(self, made: Made) -> None:
        super().__init__()
        self.made = made


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
