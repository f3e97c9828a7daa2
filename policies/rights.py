"""Who may administer what: grants, decided as entries are, over objects instead of places.

A grant allows or denies principals some rights over some objects. An object's chain is itself, everything of its
kind, and everything (`group:engineering`, `group:*`, `*`); along it `policies.decide.judge` decides, so that a deny
wins, an unresolved deny stops everybody, and times and apps count as they do for reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from core.db import now
from core.errors import ForbiddenError
from core.tables import AdminGrant, Principal
from policies.chains import EntryView, NodeView
from policies.claims import Claims
from policies.decide import NOBODY, Verdict, judge
from policies.model import EVERYONE
from policies.paths import membership_path
from policies.subject import Caller, Subject, app_alone, resolve_subject

RIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "access.act_as": "ask for another person: check, explain, who-can-read, simulate, history, review",
        "app.read": "see apps",
        "app.write": "make, change and remove apps, with what they may see and whom they may name",
        "approval.decide": "approve or reject what waits for a second person",
        "approval.read": "see what waits for a second person",
        "audit.read": "read the audit",
        "break_glass.end": "end emergency access early",
        "break_glass.open": "open emergency access",
        "classification.read": "see the order of classifications",
        "classification.write": "change the order of classifications",
        "directory.read": "see directories, and how old what they brought is",
        "directory.write": "register, change and end directories",
        "directory.sync": "try directories, sync them, and approve what a sync removes",
        "document.erase": "erase documents so that nothing of them is left, and let them in again",
        "document.read": "see that documents exist, without their text",
        "document.write": "delete pushed documents",
        "entry.read": "see an admin's entries and labels",
        "entry.write": "state and end an admin's entries and labels, and waive unresolved denies",
        "erasure.read": "see what was erased, with its proof",
        "erasure.verify": "have what an erasure left struck and looked for again",
        "grant.read": "see who may administer what",
        "grant.write": "let others administer what one may oneself",
        "group.read": "see groups",
        "group.write": "make, change and remove groups, and say who is in them",
        "key.read": "see an app's keys",
        "key.write": "make and revoke an app's keys",
        "model.read": "see models, their secrets hidden",
        "model.write": "make, change and remove models",
        "policy.read": "see rules and their counts",
        "policy.write": "make, change and remove rules",
        "route.read": "see routes to models",
        "route.write": "make, change and remove routes to models",
        "source.erase": "erase sources with everything in them",
        "source.read": "see sources and runs",
        "source.sync": "start, retry, cancel and approve runs",
        "source.write": "register, change and end sources",
        "user.erase": "erase people, also those who are gone already",
        "user.read": "see people",
        "user.write": "make, change and remove people",
    }
)
"""Every right with what it allows."""
KINDS = (
    "app", "approval", "audit", "classification", "directory", "erasure", "grant", "group", "model", "policy", "route",
    "source", "user",
)  # fmt: skip
EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Granted:
    """An open row of a grant with what it says of the right and object asked about."""

    key: str
    rights: tuple[str, ...]
    objects: tuple[str, ...]
    entry: EntryView

    def about(self, right: str) -> bool:
        """Whether it speaks of this right."""
        return any(one in (right, EVERYTHING) or _within(right, one, ".") for one in self.rights)

    def overlaps(self, target: str) -> bool:
        """Whether it speaks of any object of a pattern, or of all of it."""
        return any(target in chain_of(one) or one in chain_of(target) for one in self.objects)


@dataclass(frozen=True, slots=True)
class Ruled:
    """Whether somebody may do something, and by which grant."""

    right: str
    target: str
    verdict: Verdict
    grant: str | None
    path: tuple[str, ...]
    losing: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        """Whether they may."""
        return self.verdict.allowed

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        entry = self.verdict.entry
        return {
            "allowed": self.allowed,
            "reason": self.verdict.reason,
            "right": self.right,
            "object": self.target,
            "chain": list(chain_of(self.target)),
            "grant": self.grant,
            "principal": entry.name if entry else None,
            "expires_at": entry.expires_at.isoformat() if entry and entry.expires_at else None,
            "path": list(self.path),
            "losing": list(self.losing),
        }


def chain_of(target: str) -> tuple[str, ...]:
    """The object, everything of its kind, everything."""
    if target == EVERYTHING:
        return (EVERYTHING,)
    kind = f"{target.partition(':')[0]}:*"
    return (kind, EVERYTHING) if target == kind else (target, kind, EVERYTHING)


def who(session: Session, tenant: int, *, user: str | None, app: str | None, claims: Claims | None = None) -> Subject:
    """A person through an app, by what is known of them and their token claims; or an app that asks for itself.

    An app's own rights are nobody's who asks through it; a grant to an app is for the app alone.
    """
    if user is not None:
        return resolve_subject(session, Caller(tenant, user, app, claims=claims))
    return app_alone(session, tenant, app or "")


def decide_right(session: Session, subject: Subject, right: str, target: str, *, at: datetime | None = None) -> Ruled:
    """Whether `subject` may do `right` to `target` (`kind:id`, `kind:*` or `*`) now, and why."""
    if not subject.principals:
        return Ruled(right, target, NOBODY, None, (), ())
    rows = [one for one in granted(session, subject, at or now(session)) if one.about(right)]
    verdict = weigh(rows, subject, target)
    keys = {one.entry.id: one.key for one in rows}
    entry = verdict.entry
    path = _path(session, subject, entry) if entry else ()
    losing = tuple(sorted({keys[one.id] for one in verdict.losing}))
    return Ruled(right, target, verdict, keys[entry.id] if entry else None, path, losing)


def may(session: Session, subject: Subject, right: str, target: str) -> bool:
    """As `decide_right`, without why: the same statements whatever the target is and whatever decides."""
    return may_all(session, subject, right, (target,))


def may_all(session: Session, subject: Subject, right: str, targets: Iterable[str]) -> bool:
    """Whether `subject` may do `right` to each of these: the same statements however many there are."""
    if not subject.principals:
        return False
    rows = [one for one in granted(session, subject, now(session)) if one.about(right)]
    return all(weigh(rows, subject, target).allowed for target in targets)


def require_right(session: Session, subject: Subject, right: str, target: str) -> None:
    """Refuses somebody without a right.

    Raises:
        ForbiddenError: names the right and the object.
    """
    if not may(session, subject, right, target):
        raise ForbiddenError(
            f"this needs the right {right!r} over {target!r}; who may give it writes a Grant (docs/administration.md)"
        )


def weigh(rows: Sequence[Granted], subject: Subject, target: str) -> Verdict:
    """The decision over one object from grants that speak of the right."""
    chain = [NodeView(place, 0, name, None, "inherit", False) for place, name in enumerate(chain_of(target))]
    entries = {node.id: [one.entry._replace(node=node.id) for one in rows if node.key in one.objects] for node in chain}
    return judge(chain, entries, subject)


def granted(session: Session, subject: Subject, at: datetime, *, lasting: bool = False) -> list[Granted]:
    """Grants in force for `subject`, and every unresolved deny.

    `lasting` takes the allows that have neither an end nor an app, and every deny that has not ended, begun or not:
    what of one's rights one may count on.
    """
    mine = sorted(subject.denied_as | ({subject.app.principal} if subject.app else set()))
    unresolved = Principal.subject_id.is_(None) & (Principal.kind != EVERYONE)
    statement = (
        select(AdminGrant, Principal.kind, Principal.key, unresolved)
        .join(Principal, Principal.id == AdminGrant.principal_id)
        .where(
            AdminGrant.tenant_id == subject.tenant,
            AdminGrant.epoch_to.is_(None),
            or_(AdminGrant.principal_id.in_(mine), unresolved & (AdminGrant.effect == "deny")),
            or_(AdminGrant.expires_at.is_(None), AdminGrant.expires_at > at),
        )
        .order_by(AdminGrant.id)
    )
    found = []
    for row, kind, key, unknown in session.execute(statement):
        ends_or_waits = row.expires_at is not None or row.not_before is not None or row.app_id is not None
        if row.effect == "allow" and lasting and ends_or_waits:
            continue
        if row.not_before is not None and row.not_before > at and not (lasting and row.effect == "deny"):
            continue
        found.append(_granted(row, EVERYONE if kind == EVERYONE else f"{kind}:{key}", unresolved=bool(unknown)))
    return found


def _granted(row: AdminGrant, name: str, *, unresolved: bool) -> Granted:
    entry = EntryView(
        id=row.id,
        node=0,
        principal=row.principal_id,
        name=name,
        effect=row.effect,
        origin=row.origin,
        app=row.app_id,
        not_before=row.not_before,
        expires_at=row.expires_at,
        unresolved=unresolved,
    )
    return Granted(row.key, tuple(row.rights), tuple(row.objects), entry)


def may_give(session: Session, subject: Subject, rights: Iterable[str], objects: Iterable[str]) -> str | None:
    """The first right, with its object, that `subject` has not for good and so may not give; None: they may give all.

    Nobody gives more than they have: what is denied them anywhere within an object they cannot give over it, and what
    they hold for a time or through one app alone they cannot give at all.
    """
    rows = granted(session, subject, now(session), lasting=True)
    for right in sorted({one for pattern in rights for one in matching(pattern)}):
        about = [one for one in rows if one.about(right)]
        for target in objects:
            denied = any(one.entry.effect == "deny" and one.overlaps(target) for one in about)
            if denied or not weigh(about, subject, target).allowed:
                return f"{right} over {target}"
    return None


def matching(pattern: str) -> list[str]:
    """The rights that a pattern (`group.write`, `group.*`, `*`) means."""
    return [one for one in RIGHTS if pattern in (one, EVERYTHING) or _within(one, pattern, ".")]


def _within(name: str, pattern: str, mark: str) -> bool:
    return pattern.endswith(f"{mark}*") and name.startswith(pattern[:-1])


def _path(session: Session, subject: Subject, entry: EntryView) -> tuple[str, ...]:
    """How they come to be the entry's principal; an app that asks for itself is it at once."""
    if subject.nobody:
        return (subject.name,) if entry.principal in subject.principals else ()
    return membership_path(session, subject, entry.principal)
