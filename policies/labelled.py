"""The places at which a label has one of some values, for callers who narrow a search to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.prepared import Prepared
from core.tables import Label
from policies.anchors import Anchors
from policies.labels import classifications
from policies.rules_places import region
from policies.tree import Tree, is_lateral

CLASSIFICATION = "classification"
"""The label that every place has."""
_NAMES = Prepared(select(Label.name).where(Label.tenant_id == bindparam("tenant"), Label.epoch_to.is_(None)).distinct())


def label_names(session: Session, tenant: int) -> frozenset[str]:
    """Names of the labels that any place of the tenant has."""
    return frozenset((CLASSIFICATION, *(row[0] for row in _NAMES.plain(session, tenant=tenant))))


def places_with(session: Session, tenant: int, wanted: Mapping[str, Collection[str]]) -> tuple[int, ...]:
    """Ids, ascending, of the nodes where each label named in `wanted` has one of the values given for it."""
    alike = Anchors(session, tenant, classifications(session, tenant)).alike()
    anchors = [one for (labels, _), held in alike.items() if _fits(dict(labels), wanted) for one in held]
    if not anchors:
        return ()
    rows = _below(lateral=is_lateral(session)).plain(session, tenant=tenant, anchors=anchors)
    return tuple(sorted(row[0] for row in rows))


def _fits(labels: Mapping[str, str], wanted: Mapping[str, Collection[str]]) -> bool:
    return all(labels.get(name) in values for name, values in wanted.items())


@cache
def _below(*, lateral: bool) -> Prepared:
    """The anchors and the places below each that state no label of their own."""
    return Prepared(select(region(Tree(lateral), "anchors").c.id))
