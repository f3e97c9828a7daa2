"""A document's own node: where an admin stated something for one document alone, no other shares its place.

A node holds what the source states now; when the source states something else, the document moves to another node of
its own, and the admin's rows go with it. So a sync changes the source's part and the admin's stays (docs/access.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.tables import Ace, AclNode, Document, Label
from policies.epoch import bump
from policies.model import AccessSpec
from policies.nodes import digest, make_node, shared_node, state_admin, stated

Owned = Mapping[int, Sequence[AclNode]]


def own_nodes(session: Session, tenant: int, documents: Iterable[int]) -> dict[int, list[AclNode]]:
    """The nodes that each of these documents has to itself; those that have none are left out."""
    found: dict[int, list[AclNode]] = {}
    rows = select(AclNode).where(AclNode.tenant_id == tenant, AclNode.document_id.in_(sorted(documents)))
    for node in session.scalars(rows.order_by(AclNode.id)):
        found.setdefault(node.document_id or 0, []).append(node)
    return found


def place_at(session: Session, container: AclNode, spec: AccessSpec | None, own: Sequence[AclNode] = ()) -> AclNode:
    """Where a document stands whose source states `spec` (None: nothing) for it in `container`.

    `own` are the nodes that it has to itself; where there are any, so is this one.
    """
    if own:
        return _own(session, container, spec or AccessSpec(), own)
    if spec is None or spec.plain:
        return container
    return shared_node(session, container.tenant_id, container.source_id, container, spec)


def own_key(document: int, container: int, spec: AccessSpec) -> str:
    """Key of a document's own node under a container, with what the source states."""
    return f"=@{document}.{container}.{digest(spec)}"


def take_own(session: Session, document: Document, node: AclNode) -> AclNode:
    """The document's own node with exactly what the source states at `node`; the document is not moved."""
    if node.document_id == document.id:
        return node
    single = node.key.startswith("=") and node.parent_id is not None
    container = session.get_one(AclNode, node.parent_id) if single else node
    spec = stated(session, node) if single else AccessSpec()
    own = own_nodes(session, document.tenant_id, [document.id]).get(document.id)
    return _own(session, container, spec, own) if own else _new(session, container, spec, document.id)


def state_for(session: Session, document: Document, spec: AccessSpec) -> AccessSpec:
    """Makes `spec` (entries and labels) what an admin states for this document, at each node of its own.

    Returns what was stated before.
    """
    nodes = own_nodes(session, document.tenant_id, [document.id]).get(document.id, [])
    before = stated(session, nodes[0], origin="admin") if nodes else AccessSpec()
    for node in nodes:
        state_admin(session, document.tenant_id, node.id, spec)
    return before


def _own(session: Session, container: AclNode, spec: AccessSpec, own: Sequence[AclNode]) -> AclNode:
    document = own[0].document_id
    assert document is not None
    key = own_key(document, container.id, spec)
    for node in own:
        if node.key == key:
            return node
    node = _new(session, container, spec, document)
    _copy_admins(session, own[-1], node)
    return node


def _new(session: Session, container: AclNode, spec: AccessSpec, document: int) -> AclNode:
    return make_node(
        session,
        container.tenant_id,
        container.source_id,
        key=own_key(document, container.id, spec),
        parent=container.id,
        spec=spec,
        document=document,
    )


def _copy_admins(session: Session, old: AclNode, new: AclNode) -> None:
    """Row for row, so that times, apps and waivers stay."""
    epoch = bump(session, new.tenant_id)
    for table in (Ace, Label):
        rows = select(table).where(
            table.tenant_id == old.tenant_id,
            table.node_id == old.id,
            table.origin == "admin",
            table.epoch_to.is_(None),
        )
        for row in session.scalars(rows).all():
            kept = {c.key: getattr(row, c.key) for c in table.__table__.columns if c.key not in _OTHERWISE}
            session.add(table(**kept, node_id=new.id, epoch_from=epoch))
    session.flush()


_OTHERWISE = frozenset({"id", "node_id", "epoch_from"})
