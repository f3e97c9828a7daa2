"""The way from a place to its source's root, with what is stated on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from core.tables import Ace, AclNode, Label, Principal
from policies.model import EVERYONE

_BATCH = 5000


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as a decision sees it."""

    id: int
    source: int
    key: str
    parent: int | None
    mode: str
    closed: bool


@dataclass(frozen=True, slots=True)
class EntryView:
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
    """For each node, itself and everything above it, nearest first."""
    wanted = sorted(set(starts))
    nodes: dict[int, NodeView] = {}
    for offset in range(0, len(wanted), _BATCH):
        nodes |= _ancestors(session, wanted[offset : offset + _BATCH])
    return {start: _walk(nodes, start) for start in wanted if start in nodes}


def _ancestors(session: Session, starts: Sequence[int]) -> dict[int, NodeView]:
    up = select(AclNode.id, AclNode.parent_id).where(AclNode.id.in_(starts)).cte("up", recursive=True)
    up = up.union(select(AclNode.id, AclNode.parent_id).join(up, AclNode.id == up.c.parent_id))
    rows = session.execute(
        select(AclNode.id, AclNode.source_id, AclNode.key, AclNode.parent_id, AclNode.mode, AclNode.closed).join(
            up, up.c.id == AclNode.id
        )
    )
    return {row[0]: NodeView(*row) for row in rows}


def _walk(nodes: dict[int, NodeView], start: int) -> list[NodeView]:
    chain: list[NodeView] = []
    at: int | None = start
    while at is not None and len(chain) <= len(nodes):
        chain.append(nodes[at])
        at = nodes[at].parent
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


def _entries(
    session: Session, tenant: int, nodes: Sequence[int], principals: frozenset[int] | None, at: datetime
) -> Iterable[EntryView]:
    unresolved = Principal.subject_id.is_(None) & (Principal.kind != EVERYONE)
    statement = (
        select(Ace, Principal.kind, Principal.key, unresolved)
        .join(Principal, Principal.id == Ace.principal_id)
        .where(
            Ace.tenant_id == tenant,
            Ace.node_id.in_(nodes),
            Ace.epoch_to.is_(None),
            or_(Ace.not_before.is_(None), Ace.not_before <= at),
            or_(Ace.expires_at.is_(None), Ace.expires_at > at),
        )
    )
    if principals is not None:
        powerful = unresolved & (Ace.effect == "deny") & Ace.waived.is_(False)
        statement = statement.where(or_(Ace.principal_id.in_(sorted(principals)), powerful))
    for ace, kind, key, missing in session.execute(statement.order_by(Ace.id)):
        yield EntryView(
            id=ace.id,
            node=ace.node_id,
            principal=ace.principal_id,
            name=kind if kind == EVERYONE else f"{kind}:{key}",
            effect=ace.effect,
            origin=ace.origin,
            app=ace.app_id,
            not_before=ace.not_before,
            expires_at=ace.expires_at,
            unresolved=bool(missing) and not ace.waived,
        )


def load_labels(session: Session, tenant: int, nodes: Iterable[int]) -> dict[int, list[tuple[str, str, str]]]:
    """Name, value and origin of the labels stated at each node."""
    found: dict[int, list[tuple[str, str, str]]] = {}
    wanted = sorted(set(nodes))
    for offset in range(0, len(wanted), _BATCH):
        rows = session.execute(
            select(Label.node_id, Label.name, Label.value, Label.origin).where(
                Label.tenant_id == tenant,
                Label.epoch_to.is_(None),
                Label.node_id.in_(wanted[offset : offset + _BATCH]),
            )
        )
        for node, name, value, origin in rows:
            found.setdefault(node, []).append((name, value, origin))
    return found
