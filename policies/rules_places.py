"""Where in the tree of places rules permit and forbid, for the scope: once per label signature, not per place.

A place has the labels of the nearest place above it that states any, or of its root: its *anchor*. What a rule says of
an anchor holds from there down to the next anchor, so the scope walks down from the anchors that a rule applies to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CTE, ColumnElement, Select, bindparam, or_, select
from sqlalchemy.orm import Session

from core.tables import AclNode, Label
from policies.chains import load_chains, load_labels
from policies.labels import classifications
from policies.rules import Asking, Rule, Signature, load_sources, open_rules, signature_of
from policies.subject import Subject


@dataclass(frozen=True, slots=True)
class Places:
    """The rules of a tenant and the anchors that share each signature; the same for every caller of an epoch.

    `order` are the tenant's classifications. Without rules there are no anchors, since nobody asks for them.
    """

    rules: tuple[Rule, ...] = ()
    order: tuple[str, ...] = ()
    anchors: Mapping[Signature, tuple[int, ...]] | None = None

    @property
    def by_request(self) -> tuple[Rule, ...]:
        """Enforced rules whose outcome may change from one query to the next."""
        return tuple(rule for rule in self.rules if rule.enforced and rule.reads_request)


@dataclass(frozen=True, slots=True)
class Ruled:
    """Anchors at which a rule permits, and those at which one forbids, for one caller at one time."""

    permitted: tuple[int, ...] = ()
    forbidden: tuple[int, ...] = ()


NOT_RULED = Ruled()
"""What holds where a tenant has no rules. Where it may have some, ask `ruled`."""


def load_places(session: Session, tenant: int, rules: Sequence[Rule] | None = None) -> Places:
    """The rules that stand (or `rules` in their stead), and where each signature holds: one statement without any."""
    found = open_rules(session, tenant) if rules is None else tuple(rules)
    if not found:
        return Places()
    order = tuple(classifications(session, tenant))
    ids = session.scalars(select(AclNode.id).where(AclNode.tenant_id == tenant, _is_anchor(tenant))).all()
    chains = load_chains(session, ids)
    stated = load_labels(session, tenant, {node.id for chain in chains.values() for node in chain})
    sources = load_sources(session, tenant, {chain[0].source for chain in chains.values()})
    grouped: dict[Signature, list[int]] = {}
    for id_, chain in chains.items():
        grouped.setdefault(signature_of(chain, stated, order, sources), []).append(id_)
    return Places(found, order, {place: tuple(held) for place, held in grouped.items()})


def ruled(session: Session, subject: Subject, at: datetime, places: Places | None = None) -> Ruled:
    """Where the enforced rules permit and forbid for `subject`; each is evaluated once per signature.

    Report-only rules count only where `places` holds them as enforced.
    """
    held = places or load_places(session, subject.tenant)
    rules = [rule for rule in held.rules if rule.enforced]
    if subject.nobody or not rules or not held.anchors:
        return NOT_RULED
    asking = Asking(session, subject, at, held.order)
    permitted: list[int] = []
    forbidden: list[int] = []
    for place, anchors in held.anchors.items():
        ruling = asking.ruling(rules, place)
        if ruling.counting("forbid"):
            forbidden.extend(anchors)
        elif ruling.counting("permit"):
            permitted.extend(anchors)
    return Ruled(tuple(permitted), tuple(forbidden))


def region(name: str, tenant: int, anchors: Sequence[int]) -> CTE:
    """The anchors and everything below each, down to the next anchor."""
    base = select(AclNode.id).where(AclNode.tenant_id == tenant, AclNode.id.in_(_written_out(anchors)))
    down = base.cte(name, recursive=True)
    below = select(AclNode.id).join(down, AclNode.parent_id == down.c.id).where(~_is_anchor(tenant))
    return down.union(below)


def _is_anchor(tenant: int) -> ColumnElement[bool]:
    stated: Select[int] = select(Label.node_id).where(Label.tenant_id == tenant, Label.epoch_to.is_(None))
    return or_(AclNode.parent_id.is_(None), AclNode.id.in_(stated))


def _written_out(ids: Sequence[int]) -> ColumnElement[Sequence[int]]:
    """Ids as literals in the statement: there may be more than a database takes as parameters."""
    return bindparam(None, list(ids), expanding=True, literal_execute=True)
