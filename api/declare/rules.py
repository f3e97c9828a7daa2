"""Policies as documents: checked as far as their text goes when read, and against the tenant when planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.declare.shapes import Declared
from core.errors import InvalidError
from core.tables import Policy
from policies.rules_store import check_rule, put_rule

Bodies = Mapping[tuple[str, str], Mapping[str, Any]]


def check_policies(session: Session, tenant: int, declared: Sequence[Declared], standing: Bodies) -> None:
    """Holds conditions against the tenant: its classifications, and the attributes that somebody has or will have.

    Raises:
        InvalidError: names the file, the document and the place in the condition.
    """
    policies = [one for one in declared if one.kind == "Policy"]
    users = [
        *(one.body for one in declared if one.kind == "User"),
        *(b for (k, _), b in standing.items() if k == "User"),
    ]
    attributes = {name for body in users for name in body["attributes"]} if policies else set()
    for one in policies:
        if standing.get(("Policy", one.id)) == one.body:
            continue
        try:
            check_rule(session, tenant, one.body["when"], attributes=attributes)
        except InvalidError as error:
            raise InvalidError(f"{one.where}: 'when': {error.detail}", **error.extra) from None


def policy_body(session: Session, tenant: int, key: str) -> dict[str, Any] | None:
    """The rule of that id, as its document would say it; None: there is none."""
    return policy_bodies(session, tenant).get(key)


def policy_bodies(session: Session, tenant: int) -> dict[str, dict[str, Any]]:
    """The rules that stand, as their documents would say them, by id."""
    rows = session.scalars(select(Policy).where(Policy.tenant_id == tenant, Policy.epoch_to.is_(None)))
    return {row.key: {"effect": row.effect, "when": row.condition, "enforced": row.enforced} for row in rows}


def put_policy(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
    """Makes or changes a rule from its canonical body."""
    put_rule(session, tenant, key, effect=body["effect"], condition=body["when"], enforced=body["enforced"])
