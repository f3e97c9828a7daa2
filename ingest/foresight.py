"""What a sync would do to who reads what, told before it is made: its listing laid over a copy of what decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import now
from core.tables import AclNode, Document, Source, Tenant
from ingest.model import Change, Checkpoint, Delete, ItemRef, MembershipChange, NodeChange, Problem, Upsert
from policies.directory import put_group, set_members
from policies.nodes import digest, put_container, release
from policies.own_nodes import own_nodes, place_at
from policies.readers import who_can_read
from policies.worlds import copied

MOST_GROUPS = 300
_SAMPLES = 10
_Group: TypeAlias = tuple[int, int | None, str]
_GONE = "gone"


@dataclass(frozen=True, slots=True)
class Effect:
    """Documents alike in where they stand and would stand: some of them, how many, and who gains or loses them."""

    documents: tuple[str, ...]
    count: int
    gained: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Whose access a sync would change, in documents that are readable now.

    `widened`, `narrowed`: documents that somebody gains, or loses. `complete` False: there are more kinds of change
    than were asked about.
    """

    widened: int
    narrowed: int
    effects: tuple[Effect, ...]
    complete: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, the effects on most documents first; at most ten people of each are named."""
        shown = sorted(self.effects, key=lambda one: -one.count)[:_SAMPLES]
        return {
            "documents_gained_by_somebody": self.widened,
            "documents_lost_by_somebody": self.narrowed,
            "complete": self.complete,
            "effects": [_plain(one) for one in shown],
        }


def _plain(one: Effect) -> dict[str, Any]:
    told = {**asdict(one), "people_gained": len(one.gained), "people_lost": len(one.lost)}
    return {**told, "gained": list(one.gained[:_SAMPLES]), "lost": list(one.lost[:_SAMPLES])}


def foresee(session: Session, source: Source, changes: Sequence[Change]) -> Foreseen:
    """What the changes of a listing would do to the audience of what is in; nothing is locked or written."""
    at = now(session)
    groups = _groups(session, source, changes)
    asked = dict(sorted(groups.items(), key=lambda one: -len(one[1]))[:MOST_GROUPS])
    first = {key: documents[0] for key, documents in asked.items()}
    before = {key: _people(session, source, document.id, at) for key, document in first.items()}
    with copied(session, source.tenant_id, [one.id for one in first.values()], at=at) as world:
        _lay(world, source, changes, {one.external_id for one in first.values()}, at=at)
        world.flush()
        after = {key: _people(world, source, document.id, at) for key, document in first.items()}
    effects = tuple(
        Effect(
            tuple(one.external_id for one in documents[:3]),
            len(documents),
            tuple(sorted(after[key] - before[key])),
            tuple(sorted(before[key] - after[key])),
        )
        for key, documents in asked.items()
        if after[key] != before[key]
    )
    widened = sum(one.count for one in effects if one.gained)
    narrowed = sum(one.count for one in effects if one.lost)
    return Foreseen(widened, narrowed, effects, len(asked) == len(groups))


def _people(world: Session, source: Source, document: int, at: datetime) -> set[str]:
    return {one.user for one in who_can_read(world, source.tenant_id, document, at=at).readers}


def _groups(session: Session, source: Source, changes: Sequence[Change]) -> dict[_Group, list[Document]]:
    """Readable documents by where they stand and where the listing puts them; who has a place of its own, alone."""
    rows = session.scalars(
        select(Document)
        .where(Document.source_id == source.id, Document.state == "live", Document.version_id.is_not(None))
        .order_by(Document.id)
    ).all()
    own = own_nodes(session, source.tenant_id, [row.id for row in rows])
    listed = {one.item.id: one.item for one in changes if isinstance(one, Upsert)}
    gone = _gone(changes, [row.external_id for row in rows])
    found: dict[_Group, list[Document]] = {}
    for row in rows:
        where = _GONE if row.external_id in gone else _where(listed.get(row.external_id))
        mine = f"@{row.id}" if row.id in own else ""
        found.setdefault((row.node_id, row.pending_node_id, where + mine), []).append(row)
    return found


def _where(ref: ItemRef | None) -> str:
    if ref is None:
        return ""
    return f"{ref.node}\n{digest(ref.access) if ref.access is not None and not ref.access.plain else ''}"


def _gone(changes: Sequence[Change], known: Sequence[str]) -> set[str]:
    gone = {one.id for one in changes if isinstance(one, Delete)}
    last = changes[-1] if changes else None
    if isinstance(last, Checkpoint) and last.complete and last.full:
        seen = {one.item.id for one in changes if isinstance(one, Upsert)}
        seen |= {one.id for one in changes if isinstance(one, Problem)}
        gone |= set(known) - seen
    return gone


def _lay(world: Session, source: Source, changes: Sequence[Change], wanted: set[str], *, at: datetime) -> None:
    """Makes the changes to the copy as they will stand when the sync has ended."""
    tenant = world.get_one(Tenant, source.tenant_id)
    nodes: dict[str, AclNode] = {}
    for change in changes:
        if isinstance(change, NodeChange):
            nodes[change.key] = _container(world, tenant, source, change, nodes)
        elif isinstance(change, MembershipChange):
            put_group(world, tenant.id, change.group)
            set_members(world, tenant.id, change.group, change.members, origin=f"source:{source.key}")
        elif isinstance(change, Checkpoint) and change.complete and change.access_complete:
            world.get_one(Source, source.id).access_synced_at = at
    refs = {one.item.id: one.item for one in changes if isinstance(one, Upsert) and one.item.id in wanted}
    gone = _gone(changes, sorted(wanted))
    for document in world.scalars(select(Document).where(Document.external_id.in_(sorted(wanted)))).all():
        if document.external_id in gone:
            document.state = "deleted"
        elif document.external_id in refs:
            _put(world, source, document, refs[document.external_id], nodes)


def _container(
    world: Session, tenant: Tenant, source: Source, change: NodeChange, nodes: dict[str, AclNode]
) -> AclNode:
    parent = None if change.parent is None else _known(world, source, change.parent, nodes).id
    node = put_container(
        world, tenant, source.id, key=change.key, parent=parent, title=change.title, spec=change.access
    )
    release(world, [node])
    return node


def _known(world: Session, source: Source, key: str, nodes: dict[str, AclNode]) -> AclNode:
    if key not in nodes:
        nodes[key] = world.scalars(select(AclNode).where(AclNode.source_id == source.id, AclNode.key == key)).one()
    return nodes[key]


def _put(world: Session, source: Source, document: Document, ref: ItemRef, nodes: dict[str, AclNode]) -> None:
    own = own_nodes(world, source.tenant_id, [document.id]).get(document.id, ())
    target = place_at(world, _known(world, source, ref.node, nodes), ref.access, own)
    document.node_id, document.pending_node_id = target.id, None
