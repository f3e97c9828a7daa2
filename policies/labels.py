"""What a place is labelled: the nearest statement holds, across breaks, and an admin's is a floor to its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from core.errors import InvalidError
from core.prepared import Prepared
from core.snapshot import memory
from core.tables import StateHistory, Tenant
from policies.chains import NodeView, load_chains, load_labels
from policies.epoch import bump

CLASSIFICATION = "classification"
DEFAULT_CLASSIFICATION = "internal"


class LabelView(NamedTuple):
    """A label that holds, and who said so where. `node` None: nobody did, it is the default."""

    name: str
    value: str
    origin: str = "default"
    node: NodeView | None = None


Nearest = Mapping[tuple[str, str], tuple[int, LabelView]]
"""For a name and an origin, the nearest statement and how far above it stands; of that only the order counts."""


def effective(session: Session, tenant: int, nodes: Iterable[int]) -> dict[int, dict[str, str]]:
    """The labels that hold at each node, in three statements a few thousand nodes; unknown nodes are left out.

    Every node has a classification: `internal` where nothing is stated. One that the tenant's list does not hold
    ranks above the whole list.
    """
    return {
        node: {name: label.value for name, label in labels.items()}
        for node, labels in sources_of(session, tenant, nodes).items()
    }


def sources_of(session: Session, tenant: int, nodes: Iterable[int]) -> dict[int, dict[str, LabelView]]:
    """The labels that hold at each node, each with where it comes from."""
    ordered = classifications(session, tenant)
    chains = load_chains(session, nodes)
    stated = load_labels(session, tenant, {node.id for chain in chains.values() for node in chain})
    return {start: combine(chain, stated, ordered) for start, chain in chains.items()}


_ORDERED = Prepared(select(Tenant.classifications).where(Tenant.id == bindparam("tenant")))


def classifications(session: Session, tenant: int) -> list[str]:
    """The tenant's classifications, lowest first."""
    known = memory(session, "classifications")
    if tenant not in known:
        known[tenant] = _ORDERED.all(session, tenant=tenant)[0][0]
    ordered: list[str] = known[tenant]
    return ordered


def set_classifications(session: Session, tenant: int, ordered: Sequence[str]) -> None:
    """Makes `ordered`, lowest first, the tenant's classifications: every rank may change with it.

    Raises:
        InvalidError: it is empty, holds one twice or an empty one, or lacks the default that unlabelled places have.
    """
    wanted = list(ordered)
    if len(set(wanted)) != len(wanted) or not all(wanted) or DEFAULT_CLASSIFICATION not in wanted:
        told = f"each once, lowest first, {DEFAULT_CLASSIFICATION!r} among them"
        raise InvalidError(f"classifications are {wanted!r}; write {told}", errors=[{"field": "classifications"}])
    row = session.get_one(Tenant, tenant)
    if row.classifications == wanted:
        return
    epoch = bump(session, tenant)
    since = select(func.max(StateHistory.epoch_to)).where(
        StateHistory.tenant_id == tenant, StateHistory.kind == "tenant"
    )
    began = session.scalar(since) or 1
    if began < epoch:
        before = {"classifications": list(row.classifications)}
        session.add(
            StateHistory(
                tenant_id=tenant, kind="tenant", subject_id=tenant, state=before, epoch_from=began, epoch_to=epoch
            )
        )
    row.classifications = wanted
    session.flush()


def combine(
    chain: Sequence[NodeView], stated: Mapping[int, Sequence[tuple[str, str, str]]], ordered: Sequence[str]
) -> dict[str, LabelView]:
    """The labels that hold at the first node of `chain` (nearest first), from what each node states."""
    nearest: dict[tuple[str, str], tuple[int, LabelView]] = {}
    for distance, node in enumerate(chain):
        if node.id not in stated:
            continue
        for name, value, origin in stated[node.id]:
            nearest.setdefault((name, origin), (distance, LabelView(name, value, origin, node)))
    return settle(nearest, ordered)


def settle(nearest: Nearest, ordered: Sequence[str]) -> dict[str, LabelView]:
    """The labels that hold at a place, from the nearest statement of each name by each origin."""
    found = {CLASSIFICATION: LabelView(CLASSIFICATION, DEFAULT_CLASSIFICATION)}
    for name in sorted({name for name, _ in nearest}):
        found[name] = _stronger(nearest.get((name, "admin")), nearest.get((name, "source")), ordered)
    return found


def _stronger(
    admin: tuple[int, LabelView] | None, source: tuple[int, LabelView] | None, ordered: Sequence[str]
) -> LabelView:
    """An admin's label wins, but a source may state a higher classification there or below it."""
    if admin is None or source is None:
        held = admin or source
        assert held is not None
        return held[1]
    raised = source[1].name == CLASSIFICATION and rank(source[1].value, ordered) > rank(admin[1].value, ordered)
    return source[1] if raised and source[0] <= admin[0] else admin[1]


def rank(classification: str, ordered: Sequence[str]) -> int:
    """Place of a classification in the tenant's list, from 0; past the end where it is not in it."""
    return ordered.index(classification) if classification in ordered else len(ordered)


def highest(values: Iterable[str], ordered: Sequence[str]) -> str:
    """The strictest of some classifications; the default for none."""
    return max(values, key=lambda one: rank(one, ordered), default=DEFAULT_CLASSIFICATION)


def stricter(old: Mapping[str, str], new: Mapping[str, str], inherited: str, ordered: Sequence[str]) -> dict[str, str]:
    """The stricter of two classifications, if it must be stated; an unknown one is the strictest."""
    high = max((labels.get(CLASSIFICATION, inherited) for labels in (old, new)), key=lambda one: rank(one, ordered))
    unstated = CLASSIFICATION not in new and rank(high, ordered) == rank(inherited, ordered)
    return {} if unstated else {CLASSIFICATION: high}


def inherited_at(session: Session, tenant: int, parent: int | None) -> str:
    """The classification that holds at a parent; the default above a root."""
    above = {} if parent is None else effective(session, tenant, [parent])
    return above[parent][CLASSIFICATION] if parent in above else DEFAULT_CLASSIFICATION
