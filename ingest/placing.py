"""Where a source says that things stand: its containers as nodes, and the node at which one object stands."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.tables import AclNode, Document, Run, Tenant
from ingest.model import NodeChange
from policies.label_changes import undecided
from policies.labels import inherited_at
from policies.model import EVERYONE, AccessSpec, Entry
from policies.nodes import HIDDEN, digest, interim, put_container, stated
from policies.own_nodes import place_at

_EVERYONE = Entry(EVERYONE)


class Placer:
    """Writes the nodes of one run's source inside the caller's transaction."""

    def __init__(self, session: Session, run: Run, tenant: Tenant) -> None:
        self._session, self._run, self._tenant = session, run, tenant
        self._wider: dict[tuple[int, int], bool] = {}
        self._chains: dict[int | None, frozenset[Entry] | None] = {}

    def nodes(self, changes: Sequence[NodeChange]) -> None:
        """Makes and changes containers: narrower at once, wider when the content that it was meant for is in."""
        self._chains.clear()
        known = self.known([change.key for change in changes])
        for change in changes:
            parent = None if change.parent is None else self._node(change.parent).id
            node = known.get(change.key)
            settled = node is not None and node.pending is None and node.title == change.title
            if node is None or not settled or node.parent_id != parent or node.access_hash != digest(change.access):
                narrower = settled and node is not None and self._only_narrows(node, parent, change.access)
                node = put_container(
                    self._session,
                    self._tenant,
                    self._run.source_id,
                    key=change.key,
                    parent=parent,
                    title=change.title,
                    spec=change.access,
                    run=self._run.id,
                )
                if narrower and node.pending is not None:
                    node.pending = {**node.pending, "approved": True}

    def known(self, keys: Sequence[str]) -> dict[str, AclNode]:
        """The containers of these keys."""
        rows = self._session.scalars(
            select(AclNode).where(AclNode.source_id == self._run.source_id, AclNode.key.in_(keys))
        )
        return {row.key: row for row in rows}

    def _node(self, key: str) -> AclNode:
        return self._session.scalars(
            select(AclNode).where(AclNode.source_id == self._run.source_id, AclNode.key == key)
        ).one()

    def target(self, container: AclNode, access: AccessSpec | None, own: Sequence[AclNode] = ()) -> AclNode:
        """The node at which an object with this access stands; `own` are the nodes that it has to itself."""
        return place_at(self._session, container, access, own)

    def widens(self, document: Document | None, target: AclNode) -> bool:
        """Whether somebody who could not read the document's text might at `target`, as far as names tell."""
        return document is not None and document.version_id is not None and self.opens(document.node_id, target)

    def opens(self, node: int, target: AclNode) -> bool:
        """Whether somebody who may not read what stands at `node` might at `target`, as far as names tell."""
        if node == target.id:
            return False
        pair = (node, target.id)
        if pair not in self._wider:
            self._wider[pair] = self._opens(self._session.get_one(AclNode, node), target)
        return self._wider[pair]

    def _opens(self, before: AclNode, after: AclNode) -> bool:
        if before.key == HIDDEN:
            return False  # hidden until its content came in: what it was meant for was judged then
        base = _base(before)
        if base != _base(after):
            return True
        return not self._narrows(base, self._own(before), self._own(after))

    def _only_narrows(self, node: AclNode, parent: int | None, spec: AccessSpec) -> bool:
        return node.parent_id == parent and self._narrows(parent, stated(self._session, node), spec)

    def _narrows(self, above: int | None, old: AccessSpec, new: AccessSpec) -> bool:
        """Whether nobody can read at `new` who could not at `old`, both below `above`, as far as names tell."""
        inherited = inherited_at(self._session, self._tenant.id, above)
        held = interim(old, new, self._tenant.classifications, root=above is None, inherited=inherited)
        if undecided(self._session, self._tenant.id, old.labels, new.labels):
            return False
        if held == new:
            return True
        if old.closed or old.mode == "narrow" or held.labels != new.labels:
            return False
        chain = self._chain(above)
        if chain is None:
            return False
        before = old.entries | (chain if old.mode == "inherit" else frozenset())
        after = new.entries | (frozenset() if new.mode == "break" else chain)
        allows = {one for one in (after if new.mode == "inherit" else new.entries) if one.effect == "allow"}
        denies = {one for one in before if one.effect == "deny"}
        return denies <= after and (_EVERYONE in before or allows <= before)

    def _chain(self, node: int | None) -> frozenset[Entry] | None:
        """The source's entries that hold at a container, up to the first break; None: more than names decides there."""
        if node not in self._chains:
            self._chains[node] = self._read_chain(node)
        return self._chains[node]

    def _read_chain(self, node: int | None) -> frozenset[Entry] | None:
        found: frozenset[Entry] = frozenset()
        while node is not None:
            row = self._session.get_one(AclNode, node)
            if row.closed or row.mode == "narrow":
                return None
            found |= stated(self._session, row).entries
            node = row.parent_id if row.mode == "inherit" else None
        return found

    def _own(self, node: AclNode) -> AccessSpec:
        """What single documents at this node state beside their container."""
        return stated(self._session, node) if _shared(node) else AccessSpec()


def _shared(node: AclNode) -> bool:
    return node.key.startswith("=")


def _base(node: AclNode) -> int | None:
    return node.parent_id if _shared(node) else node.id
