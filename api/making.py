"""Making a change within a transaction: every right decided, its reach measured, its audit entry written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api.actors import Actor
from api.operation import Args, Changed, Doing
from api.operations import OPERATIONS
from api.runtime import Runtime
from core.settings import Settings
from policies.grants import administered, refuse_lockout
from policies.widening import Limits, Widening, measure


@dataclass(frozen=True, slots=True)
class Asked:
    """A change that somebody asks for: the name of an operation and what it is given, as plain JSON."""

    operation: str
    args: Args

    @property
    def text(self) -> str:
        """The same as canonical JSON."""
        return json.dumps([self.operation, self.args], sort_keys=True)


@dataclass(frozen=True, slots=True)
class Made:
    """A change that was made and is not committed.

    Attributes:
        needs: the rights that it took, as `right object`.
        digest: names exactly what it changed and whom it lets read more, so that the same can be known again.
    """

    changed: Changed
    needs: tuple[str, ...]
    widening: Widening
    digest: str


def make(session: Session, runtime: Runtime, actor: Actor, asked: Asked) -> Made:
    """Makes a change in the caller's transaction, which must end where `widening.held` needs a second person.

    Raises:
        ForbiddenError: the actor lacks a right that the change needs.
        ConflictError: nobody could administer afterwards.
        AmbitError: whatever the operation refuses.
    """
    operation = OPERATIONS[asked.operation]
    doing = Doing(session, runtime, actor)
    needs = list(operation.needs(doing, asked.args))
    for right, target in needs:
        actor.require(session, right, target)
    before = administered(session, actor.tenant)
    done = operation.do(doing, asked.args)
    session.flush()
    refuse_lockout(session, actor.tenant, before)
    if done.kind:
        body = actor.note(done.body)
        runtime.audit.change(session, actor.tenant, done.kind, actor.name, body, before=done.before, after=done.after)
    widening = Widening()
    if operation.reading:
        with runtime.db.read(actor.tenant) as standing:
            widening = measure(standing, session, actor.tenant, limits(runtime.settings))
    named = tuple(f"{right} {target}" for right, target in needs)
    return Made(done, named, widening, _digest(done, widening))


def limits(settings: Settings) -> Limits:
    """How far a change may widen access without a second person."""
    return Limits(settings.widening_people, settings.widening_documents)


def _digest(done: Changed, widening: Widening) -> str:
    listed = done.told if isinstance(done.told, list) else None
    text = json.dumps([done.body, done.before, done.after, listed, widening.digest], sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    return value.as_dict() if hasattr(value, "as_dict") else str(value)
