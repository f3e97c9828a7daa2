"""The way from a place to its source's root, with what is stated on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Integer, bindparam, or_, select, type_coerce
from sqlalchemy.orm import Session

from core.prepared import Prepared, among
from core.snapshot import memory
from core.tables import Ace, AclNode, Label, Principal
from policies.model import EVERYONE
from policies.tree import chains_up, is_lateral

_BATCH = 5000


class NodeView(NamedTuple):
    """A node as a decision sees it. `closed` is as the driver tells it, which may be 0 or 1."""

    id: int
    source: int
    key: str
    parent: int | None
    mode: str
    closed: bool


class EntryView(NamedTuple):
    """An entry in force. `unresolved`: its principal means nobody known."""

    id: int
    node: int
    principal: int
    name: str
    effect: str
    origin: str
    app: int | None
    not_before: datetime | None
    expires_at: datetime | None
    unresolved: bool


def load_chains(session: Session, starts: Iterable[int]) -> dict[int, list[NodeView]]:
    """For each node, itself and everything above it, nearest first; one statement a few thousand nodes."""
    wanted = sorted(set(starts))
    nodes: dict[int, NodeView | None] = memory(session, "nodes")
    missing = [one for one in wanted if one not in nodes]
    for offset in range(0, len(missing), _BATCH):
        rows = _CHAINS[is_lateral(session)].plain(session, ids=missing[offset : offset + _BATCH])
        nodes |= {row[0]: NodeView._make(row) for row in rows}
    nodes |= {one: None for one in missing if one not in nodes}
    return {start: _walk(nodes, start) for start in wanted if nodes[start] is not None}


def _walk(nodes: dict[int, NodeView | None], start: int) -> list[NodeView]:
    chain: list[NodeView] = []
    at, most = nodes[start], len(nodes)
    while at is not None and len(chain) <= most:
        chain.append(at)
        parent = at.parent
        if parent is None:
            break
        at = nodes[parent]
    return chain


def load_entries(
    session: Session, tenant: int, nodes: Iterable[int], principals: frozenset[int] | None, at: datetime
) -> dict[int, list[EntryView]]:
    """Entries in force `at` a time at each node: those of `principals` (None: all) and every unresolved deny."""
    found: dict[int, list[EntryView]] = {}
    wanted = sorted(set(nodes))
    for offset in range(0, len(wanted), _BATCH):
        for entry in _entries(session, tenant, wanted[offset : offset + _BATCH], principals, at):
            found.setdefault(entry.node, []).append(entry)
    return found


def _in_force(*, of_some: bool) -> Prepared:
    """Entries in force at some nodes, of some principals or of all."""
    unresolved = Principal.subject_id.is_(None) & (Principal.kind != EVERYONE)
    statement: Any = (
        select(
            Ace.id,
            Ace.node_id,
            Ace.principal_id,
            Principal.kind,
            Principal.key,
            Ace.effect,
            Ace.origin,
            Ace.app_id,
            Ace.not_before,
            Ace.expires_at,
            (unresolved & Ace.waived.is_(False)).label("unresolved"),
        )
        .join(Principal, Principal.id == Ace.principal_id)
        .where(
            Ace.tenant_id == bindparam("tenant"),
            among(Ace.node_id, "nodes"),
            Ace.epoch_to.is_(None),
            or_(Ace.not_before.is_(None), Ace.not_before <= bindparam("at")),
            or_(Ace.expires_at.is_(None), Ace.expires_at > bindparam("at")),
        )
        .order_by(Ace.id)
    )
    if not of_some:
        return Prepared(statement)
    powerful = unresolved & (Ace.effect == "deny") & Ace.waived.is_(False)
    return Prepared(statement.where(or_(among(Ace.principal_id, "principals"), powerful)))


def _entries(
    session: Session, tenant: int, nodes: Sequence[int], principals: frozenset[int] | None, at: datetime
) -> Iterable[EntryView]:
    asked: dict[str, Any] = {"tenant": tenant, "nodes": nodes, "at": at}
    if principals is not None:
        asked["principals"] = list(principals)
    for row in (_ALL_IN_FORCE if principals is None else _IN_FORCE).plain(session, **asked):
        id_, node, principal, kind, key, *told = row
        yield EntryView(id_, node, principal, kind if kind == EVERYONE else f"{kind}:{key}", *told)


def load_labels(session: Session, tenant: int, nodes: Iterable[int]) -> dict[int, list[tuple[str, str, str]]]:
    """Name, value and origin of the labels stated at each node; nodes without any are left out."""
    wanted = set(nodes)
    read = memory(session, f"labels {tenant}")
    known: set[int] = read.setdefault("known", set())
    found: dict[int, list[tuple[str, str, str]]] = read.setdefault("stated", {})
    missing = sorted(wanted - known)
    known.update(missing)
    for offset in range(0, len(missing), _BATCH):
        for node, name, value, origin in _LABELS.plain(session, tenant=tenant, nodes=missing[offset : offset + _BATCH]):
            found.setdefault(node, []).append((name, value, origin))
    return {one: found[one] for one in found.keys() & wanted}


_CHAINS = chains_up(
    (
        AclNode.id,
        AclNode.source_id,
        AclNode.key,
        AclNode.parent_id,
        AclNode.mode,
        type_coerce(AclNode.closed, Integer).label("closed"),
    )
)
_ALL_IN_FORCE, _IN_FORCE = _in_force(of_some=False), _in_force(of_some=True)
_LABELS = Prepared(
    select(Label.node_id, Label.name, Label.value, Label.origin).where(
        Label.tenant_id == bindparam("tenant"), Label.epoch_to.is_(None), among(Label.node_id, "nodes")
    )
)
