"""What a person is, as far as it is known: an outdated directory, or a token with too many groups, leaves doubt.

Doubt never gives. Allows count only what is known; denies also what may be; rules that read what is not known err.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.tables import Group, Membership, Principal
from policies.claims import Claims
from policies.directories import Standing, fresh_only
from policies.principals import of_user, upwards
from policies.statements import merged

GROUPS = "groups"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a person, as `policies.subject.Subject` has it."""

    principals: frozenset[int]
    attributes: dict[str, Any]
    uncertain: frozenset[int] = frozenset()
    unknown: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def doubts(session: Session, tenant: int, user: Any, held: Standing, claims: Claims) -> Known:
    """What is known of a user, a row of `User`, now."""
    principals = of_user(session, tenant, user.id, claimed=claims.groups, stale=held.stale)
    if not held.stale and not claims.overage:
        return Known(principals, user.attributes)
    maybe: set[int] = set()
    notes: list[str] = []
    if held.stale:
        maybe |= of_user(session, tenant, user.id, claimed=claims.groups)
        maybe |= fed_by(session, tenant, held.stale)
        notes += [f"{origin}: its data is too old; its groups allow nothing and may deny" for origin in held.stale]
    if claims.overage:
        maybe |= nameable(session, tenant, claims, held.stale)
        notes.append("the token has too many groups; stored memberships hold, and any other group may deny")
    attributes = merged(fresh)["attributes"] if (fresh := fresh_only(user.stated, held.stale)) else user.attributes
    lost = user.attributes.keys() - attributes.keys()
    return Known(
        principals=principals,
        attributes=attributes,
        uncertain=upwards(session, tenant, maybe) - principals,
        unknown=frozenset({GROUPS, *lost, *_differing(user.attributes, attributes)}),
        notes=tuple(sorted(notes)),
    )


def _differing(last: dict[str, Any], fresh: dict[str, Any]) -> set[str]:
    return {name for name, value in fresh.items() if last.get(name) != value}


def fed_by(session: Session, tenant: int, origins: Collection[str]) -> set[int]:
    """Principals of the groups that some origins made or put anybody into."""
    members = select(Membership.container_id).where(
        Membership.tenant_id == tenant, Membership.epoch_to.is_(None), Membership.origin.in_(sorted(origins))
    )
    made = (
        select(Principal.id)
        .join(Group, Group.id == Principal.subject_id)
        .where(Principal.tenant_id == tenant, Principal.kind == "group", Group.origin.in_(sorted(origins)))
    )
    return {*session.scalars(members.distinct()), *session.scalars(made)}


def nameable(session: Session, tenant: int, claims: Claims, stale: Collection[str]) -> set[int]:
    """Principals of the groups that a token with too many of them may have meant: those it could name, without those
    whose members a directory states in full.
    """
    statement = select(Principal.id, Principal.key, Group.origin).join(Group, Group.id == Principal.subject_id)
    rows = session.execute(statement.where(Principal.tenant_id == tenant, Principal.kind == "group"))
    return {
        id_
        for id_, key, origin in rows
        if (claims.nameable is None or key in claims.nameable)
        and (not origin.startswith(("scim:", "ldap:")) or origin in stale)
    }
