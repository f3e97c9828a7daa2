"""Groups that hold one another. Each of them then is in all of them, which is allowed and seldom meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from core.tables import Membership, Principal
from policies.people import closure


def cycles(
    session: Session, tenant: int, stated: Mapping[str, Collection[str]] = MappingProxyType({})
) -> list[tuple[str, ...]]:
    """Each set of groups that hold one another, or the one that holds itself, by their ids in order.

    Args:
        stated: for some groups, which groups an admin would have hold them, in place of those that they say now.
    """
    above: dict[str, set[str]] = {member: set(groups) for member, groups in stated.items()}
    for member, group, origin in _pairs(session, tenant):
        if origin != "admin" or member not in stated:
            above.setdefault(member, set()).add(group)
    reached = {one: closure(above, groups) for one, groups in above.items()}
    found = {
        tuple(sorted(other for other in reached[one] if one in reached.get(other, ())))
        for one in reached
        if one in reached[one]
    }
    return sorted(found)


def _pairs(session: Session, tenant: int) -> Iterable[tuple[str, str, str]]:
    """Open memberships of groups in groups: the member, the group, and who says so."""
    member, group = aliased(Principal), aliased(Principal)
    rows = session.execute(
        select(member.key, group.key, Membership.origin)
        .join(member, member.id == Membership.member_id)
        .join(group, group.id == Membership.container_id)
        .where(Membership.tenant_id == tenant, Membership.epoch_to.is_(None), member.kind == "group")
    )
    return [(row[0], row[1], row[2]) for row in rows]
