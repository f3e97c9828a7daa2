"""Everyone at once: what each active person is, and the classes of people whom a decision cannot tell apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from core.tables import Membership, Policy, Principal, User
from policies.directories import standing
from policies.model import EVERYONE
from policies.rules_compiled import reads_of_principal

Named = TypeVar("Named", bound=Hashable)
Trait = Callable[["Person"], Hashable]


@dataclass(frozen=True, slots=True)
class Person:
    """An active user and the ids of everything they are, as `policies.principals.of_user` tells it of one."""

    id: int
    key: str
    email: str | None
    attributes: Mapping[str, Any]
    own: frozenset[int]
    principals: frozenset[int]
    doubt: Hashable = None
    """Where a directory is too old, what of the person that leaves in doubt; decisions tell these apart."""


def closure(above: Mapping[Named, Iterable[Named]], start: Iterable[Named]) -> frozenset[Named]:
    """`start` and everything above any of it, to any depth, cycles included."""
    seen = set(start)
    frontier = list(seen)
    while frontier:
        reached = {group for member in frontier for group in above.get(member, ())} - seen
        seen |= reached
        frontier = list(reached)
    return frozenset(seen)


@dataclass(frozen=True, slots=True)
class Memberships:
    """Open memberships of groups that exist, upwards: for each member the groups that directly hold it."""

    above: Mapping[int, tuple[int, ...]]

    def closure(self, start: Iterable[int]) -> frozenset[int]:
        """`start` and every group that holds any of it, to any depth, cycles included."""
        return closure(self.above, start)

    def steps_to(self, goal: int) -> dict[int, int | None]:
        """For each principal that is inside `goal`, the next one on a shortest way to it; None for `goal` itself."""
        below: dict[int, list[int]] = {}
        for member, groups in self.above.items():
            for group in groups:
                below.setdefault(group, []).append(member)
        steps: dict[int, int | None] = {goal: None}
        frontier = [goal]
        while frontier:
            reached = [(one, at) for at in frontier for one in sorted(below.get(at, ())) if one not in steps]
            frontier = []
            for one, at in reached:
                if one not in steps:
                    steps[one] = at
                    frontier.append(one)
        return steps


def load_memberships(session: Session, tenant: int, stale: Collection[str] = ()) -> Memberships:
    """All open memberships of a tenant but those of some origins, in one statement."""
    container = aliased(Principal)
    rows = session.execute(
        select(Membership.member_id, Membership.container_id)
        .join(container, container.id == Membership.container_id)
        .where(
            Membership.tenant_id == tenant,
            Membership.epoch_to.is_(None),
            container.tenant_id == tenant,
            container.subject_id.is_not(None),
            *([Membership.origin.not_in(sorted(stale))] if stale else []),
        )
    )
    above: dict[int, set[int]] = {}
    for member, group in rows:
        above.setdefault(member, set()).add(group)
    return Memberships({member: tuple(sorted(groups)) for member, groups in above.items()})


def load_both(session: Session, tenant: int) -> tuple[Memberships, dict[int, Person]]:
    """The memberships that count now, and everybody."""
    stale = standing(session, tenant).stale
    memberships = load_memberships(session, tenant, stale)
    return memberships, load_people(session, tenant, None if stale else memberships)


def load_people(session: Session, tenant: int, memberships: Memberships | None = None) -> dict[int, Person]:
    """Every active user of a tenant, by id, in a few statements however many there are.

    People of whom only directories speak that are too old are not among them.
    """
    stale = standing(session, tenant).stale
    everything = memberships or load_memberships(session, tenant)
    held = load_memberships(session, tenant, stale) if stale else everything
    own: dict[int, set[int]] = {}
    names = select(Principal.subject_id, Principal.id).where(
        Principal.tenant_id == tenant, Principal.kind == "user", Principal.subject_id.is_not(None)
    )
    for user, principal in session.execute(names):
        own.setdefault(user or 0, set()).add(principal)
    everyone = set(
        session.scalars(select(Principal.id).where(Principal.tenant_id == tenant, Principal.kind == EVERYONE))
    )
    users = session.execute(
        select(User.id, User.key, User.email, User.attributes, User.stated).where(User.tenant_id == tenant, User.active)
    )
    shared = held.closure(everyone)
    found: dict[int, Person] = {}
    for id_, key, email, attributes, stated in users.all():
        if stated and stale.issuperset(stated):
            continue
        mine = frozenset(own.get(id_, ()))
        doubt = (everything.closure(mine), tuple(sorted(stale.intersection(stated)))) if stale else None
        principals = held.closure(mine) | shared
        found[id_] = Person(id_, key, email, attributes or {}, mine | everyone, principals, doubt)
    return found


def classes(
    people: Iterable[Person], relevant: Collection[int], trait: Trait = lambda _: None
) -> dict[Hashable, list[Person]]:
    """People by what of them can matter: which of the `relevant` principals they are, and what rules read of them."""
    wanted = frozenset(relevant)
    found: dict[Hashable, list[Person]] = {}
    for one in people:
        found.setdefault((one.principals & wanted, one.doubt, trait(one)), []).append(one)
    return found


def rule_trait(session: Session, tenant: int) -> Trait:
    """What the tenant's rules can read of a person.

    They may read attributes and groups by name; a rule that reads anything else of the principal may tell everyone
    apart.
    """
    conditions = session.scalars(
        select(Policy.condition).where(Policy.tenant_id == tenant, Policy.epoch_to.is_(None))
    ).all()
    names = {name for one in conditions for name in reads_of_principal(one)}
    if not names:
        return lambda _: None
    if names & {"", "id", "email"}:
        return lambda person: person.id
    if "groups" in names:
        return lambda person: (person.principals - person.own, _attributes(person))
    return _attributes


def _attributes(person: Person) -> str:
    return json.dumps(person.attributes, sort_keys=True, default=str)
