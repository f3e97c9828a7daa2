"""Where in the tree of places rules permit and forbid, for the scope: once per label signature, not per place.

A place has the labels of the nearest place above it that states any, or of its root: its *anchor*. What a rule says of
an anchor holds from there down to the next anchor, so the scope walks down from the anchors that a rule applies to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import CTE, ColumnElement, exists, or_, select
from sqlalchemy.orm import Session

from core.prepared import among, of_tenant
from core.tables import AclNode, Label
from policies.anchors import Anchors
from policies.rules import Asking, Rule, Signature, rules_and_order
from policies.rulings import load_sources
from policies.subject import Subject
from policies.tree import TENANT, Tree


@dataclass(frozen=True, slots=True)
class Places:
    """The rules of a tenant and the anchors that share each signature; the same for every caller of an epoch.

    `order` are the tenant's classifications. Without rules there are no anchors, since nobody asks for them.
    `by_request` are the enforced rules whose outcome may change from one query to the next.
    """

    rules: tuple[Rule, ...] = ()
    order: tuple[str, ...] = ()
    anchors: Mapping[Signature, tuple[int, ...]] | None = None
    by_request: tuple[Rule, ...] = field(init=False)

    def __post_init__(self) -> None:
        by_request = tuple(rule for rule in self.rules if rule.enforced and rule.reads_request)
        object.__setattr__(self, "by_request", by_request)


@dataclass(frozen=True, slots=True)
class Ruled:
    """Anchors at which a rule permits, and those at which one forbids, for one caller at one time."""

    permitted: tuple[int, ...] = ()
    forbidden: tuple[int, ...] = ()


NOT_RULED = Ruled()
"""What holds where a tenant has no rules. Where it may have some, ask `ruled`."""


def load_places(session: Session, tenant: int, rules: Sequence[Rule] | None = None) -> Places:
    """The rules that stand (or `rules` in their stead), and where each signature holds: one statement without any."""
    found, order = rules_and_order(session, tenant, rules)
    if not found:
        return Places()
    anchors = Anchors(session, tenant, order)
    sources = load_sources(session, tenant, anchors.sources)
    grouped: dict[Signature, list[int]] = {}
    for (labels, source), ids in anchors.alike().items():
        grouped.setdefault(Signature(labels, *sources.get(source, ("", ""))), []).extend(ids)
    return Places(found, tuple(order), {place: tuple(held) for place, held in grouped.items()})


def ruled(session: Session, subject: Subject, at: datetime, places: Places | None = None) -> Ruled:
    """Where the enforced rules permit and forbid for `subject`; each is evaluated once per signature.

    Report-only rules count only where `places` holds them as enforced.
    """
    held = places or load_places(session, subject.tenant)
    rules = [rule for rule in held.rules if rule.enforced]
    if subject.nobody or not rules or not held.anchors:
        return NOT_RULED
    asking = Asking(session, subject, at, held.order)
    forbids, permits = (
        asking.counting([rule for rule in rules if rule.effect == effect]) for effect in ("forbid", "permit")
    )
    permitted: list[int] = []
    forbidden: list[int] = []
    for place, anchors in held.anchors.items():
        if forbids(place):
            forbidden.extend(anchors)
        elif permits(place):
            permitted.extend(anchors)
    return Ruled(tuple(permitted), tuple(forbidden))


def region(tree: Tree, name: str) -> CTE:
    """The anchors bound as `name` and everything below each, down to the next anchor."""
    base = select(AclNode.id).where(of_tenant(AclNode.tenant_id), among(AclNode.id, name))
    down = base.cte(name, recursive=True)
    return down.union(tree.below(down, ~_is_anchor()))


def _is_anchor() -> ColumnElement[bool]:
    states = exists().where(Label.tenant_id == TENANT, Label.node_id == AclNode.id, Label.epoch_to.is_(None))
    return or_(AclNode.parent_id.is_(None), states)
