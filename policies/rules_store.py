"""Keeping rules: checked when they are saved, closed and never overwritten, counted while they are report-only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.db import now
from core.errors import InvalidError, NotFoundError
from core.ids import KEY_PATTERN, is_key
from core.tables import Label, Policy, PolicyCount, User
from policies.epoch import bump
from policies.labels import classifications
from policies.nodes import shut_waiting
from policies.rules import Rule
from policies.rules_check import Checked, check, unknown_attribute
from policies.rules_compiled import ranked
from policies.rules_syntax import problem

EFFECTS = ("permit", "forbid")


@dataclass(frozen=True, slots=True)
class Reported:
    """What a report-only rule would have done, since it last changed.

    Attributes:
        queries: queries of which it would have changed the outcome; `last_at` the latest.
        documents: how often it would have refused a document that was found.
        places: how many places it would have opened, summed over queries.
    """

    key: str
    effect: str
    queries: int
    documents: int
    places: int
    last_at: datetime | None


def put_rule(session: Session, tenant: int, key: str, *, effect: str, condition: str, enforced: bool = True) -> Policy:
    """Makes or changes a rule; what it was stays as history. One that does not change is left alone.

    Raises:
        InvalidError: the id or effect is none.
        RuleError: the condition is not understood, names what there is not, or its types do not fit.
    """
    if not is_key(key):
        raise InvalidError(f"policy id {key!r} is no id; it must match {KEY_PATTERN}")
    if effect not in EFFECTS:
        raise InvalidError(f"effect is {effect!r}; write permit or forbid", errors=[{"field": "effect"}])
    standing = _open(session, tenant, key)
    wanted = {"effect": effect, "condition": condition, "enforced": enforced}
    if standing is not None and all(getattr(standing, name) == value for name, value in wanted.items()):
        return standing
    check_rule(session, tenant, condition)
    epoch = bump(session, tenant)
    if standing is not None:
        standing.epoch_to = epoch
        session.flush()
    row = Policy(tenant_id=tenant, key=key, epoch_from=epoch, **wanted)
    session.add(row)
    session.flush()
    session.add(PolicyCount(policy_id=row.id, tenant_id=tenant))
    session.flush()
    shut_waiting(session, tenant, Rule(row.id, key, effect, condition, enforced))
    return row


def remove_rule(session: Session, tenant: int, key: str) -> None:
    """Ends a rule.

    Raises:
        NotFoundError: there is none of that id.
    """
    row = _open(session, tenant, key)
    if row is None:
        raise NotFoundError(f"there is no policy {key!r}")
    row.epoch_to = bump(session, tenant)
    session.flush()


def _open(session: Session, tenant: int, key: str) -> Policy | None:
    return session.scalars(
        select(Policy).where(Policy.tenant_id == tenant, Policy.key == key, Policy.epoch_to.is_(None))
    ).one_or_none()


def check_condition(condition: str, classifications: Sequence[str] | None = None) -> Checked:
    """Refuses a condition by its text alone: syntax, names, functions and types.

    Raises:
        RuleError: says what is wrong and where.
    """
    import cel  # loads its own command line; only those who save rules need it

    checked = check(condition, classifications)
    try:
        cel.compile(ranked(condition))
    except ValueError as error:
        told = str(error).rpartition("Syntax error: ")[2].splitlines()[0]
        raise problem(condition, checked.tree.at, f"is not understood: {told}") from None
    for part in checked.tree.walk():
        if part.kind == "method" and part.name == "matches" and part.parts[1].value is not None:
            _check_pattern(cel, condition, part.parts[1].at, part.parts[1].value)
    return checked


def _check_pattern(cel: Any, condition: str, at: int, pattern: str) -> None:
    try:
        cel.compile("''.matches(p)").execute({"p": pattern})
    except RuntimeError:
        raise problem(condition, at, "is no regular expression of RE2") from None


def check_rule(
    session: Session, tenant: int, condition: str, *, attributes: Iterable[str] = (), labels: Iterable[str] = ()
) -> None:
    """Refuses a condition that cannot mean anything in this tenant.

    An attribute of a principal must be built in, held by some user or in `attributes`; one of a document must be built
    in, stated at some place or in `labels`; else the rule must ask `has` for it.

    Raises:
        RuleError: says what is wrong and where.
    """
    checked = check_condition(condition, classifications(session, tenant))
    coming: Mapping[str, set[str]] = {"principal": set(attributes), "document": set(labels)}
    for root, name, at in checked.open:
        known = coming[root] | _stated(session, tenant, root)
        if name not in known:
            raise unknown_attribute(condition, root, name, at, known)


def _stated(session: Session, tenant: int, root: str) -> set[str]:
    """Names of all labels stated in the tenant, or of all attributes that users have."""
    if root == "document":
        stated = select(Label.name).where(Label.tenant_id == tenant, Label.epoch_to.is_(None)).distinct()
        return set(session.scalars(stated))
    users = select(User.attributes).where(User.tenant_id == tenant).execution_options(yield_per=1000)
    return {name for attributes in session.scalars(users) for name in attributes}


def count(session: Session, tenant: int, documents: Mapping[int, int], places: Mapping[int, int]) -> None:
    """Adds what report-only rules (by id) would have done to one query; the caller's transaction keeps it."""
    for id_ in sorted(documents.keys() | places.keys()):
        session.execute(
            update(PolicyCount)
            .where(PolicyCount.tenant_id == tenant, PolicyCount.policy_id == id_)
            .values(
                queries=PolicyCount.queries + 1,
                documents=PolicyCount.documents + documents.get(id_, 0),
                places=PolicyCount.places + places.get(id_, 0),
                last_at=now(session),
            )
        )


def reports(session: Session, tenant: int) -> list[Reported]:
    """What each rule that stands would have done while it was report-only, by key."""
    rows = session.execute(
        select(Policy, PolicyCount)
        .join(PolicyCount, PolicyCount.policy_id == Policy.id)
        .where(Policy.tenant_id == tenant, Policy.epoch_to.is_(None), Policy.enforced.is_(False))
        .order_by(Policy.key)
    )
    return [
        Reported(rule.key, rule.effect, found.queries, found.documents, found.places, found.last_at)
        for rule, found in rows
    ]
