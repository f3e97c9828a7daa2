"""How a person comes to hold a principal."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from core.tables import Membership, Principal
from policies.model import EVERYONE
from policies.subject import Subject

_TOKEN = 0
"""Stands for the caller's token among the ids of principals, of which none is 0."""


def membership_path(session: Session, subject: Subject, principal: int) -> tuple[str, ...]:
    """Names from `user:<id>` to the principal, each a member of the next, by the fewest steps; `token` stands before
    a group that the caller's token puts them into.

    The app through which the caller asks is a path of its own; one the caller does not hold has none.
    """
    if subject.app is not None and principal == subject.app.principal:
        return (f"app:{subject.app.key}",)
    if principal not in subject.principals:
        return ()
    steps = _steps(session, subject)
    ids = [principal]
    while steps[ids[-1]] is not None:
        ids.append(steps[ids[-1]] or 0)
    names = _names(session, ids)
    path = [names[one] for one in reversed(ids)]
    own = f"user:{subject.name}"
    return tuple(path if path[0] == own else [own, *path])


def _steps(session: Session, subject: Subject) -> dict[int, int | None]:
    """For each principal the caller holds, the one through which it is reached first; None for the caller's own."""
    own = session.execute(
        select(Principal.id, Principal.kind, Principal.key).where(
            Principal.id.in_(sorted(subject.principals)),
            ((Principal.kind == "user") & (Principal.subject_id == subject.user)) | (Principal.kind == EVERYONE),
        )
    ).all()
    first = sorted(own, key=lambda row: (row.kind != "user", row.key != subject.name, row.id))
    steps: dict[int, int | None] = {row.id: None for row in first}
    above = _containers(session, subject, first[0].id)
    frontier = list(steps)
    while frontier:
        reached: list[int] = []
        for member in frontier:
            for container in above.get(member, ()):
                if container not in steps:
                    steps[container] = member
                    reached.append(container)
        frontier = reached
    return steps


def _containers(session: Session, subject: Subject, own: int) -> dict[int, list[int]]:
    """The groups the caller holds that directly hold each of the caller's principals, and the token, which is the
    caller's `own`.
    """
    container = aliased(Principal)
    rows = session.execute(
        select(Membership.member_id, Membership.container_id)
        .join(container, container.id == Membership.container_id)
        .where(
            Membership.tenant_id == subject.tenant,
            Membership.epoch_to.is_(None),
            Membership.member_id.in_(sorted(subject.principals)),
            container.subject_id.is_not(None),
        )
        .order_by(Membership.member_id, container.key)
    )
    found: dict[int, list[int]] = {}
    for member, above in rows:
        found.setdefault(member, []).append(above)
    if subject.claimed:
        found.setdefault(own, []).append(_TOKEN)
        found[_TOKEN] = _claimed(session, subject)
    return found


def _claimed(session: Session, subject: Subject) -> list[int]:
    rows = select(Principal.id).where(
        Principal.id.in_(sorted(subject.principals)), Principal.kind == "group", Principal.key.in_(subject.claimed)
    )
    return list(session.scalars(rows.order_by(Principal.key)))


def _names(session: Session, ids: list[int]) -> dict[int, str]:
    rows = session.execute(select(Principal.id, Principal.kind, Principal.key).where(Principal.id.in_(ids)))
    return {_TOKEN: "token", **{id_: EVERYONE if kind == EVERYONE else f"{kind}:{key}" for id_, kind, key in rows}}
