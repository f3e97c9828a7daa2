"""The places and documents of a world that changes: see `tests.factories.changing_people`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from random import Random

from sqlalchemy.orm import Session

from core.tables import AclNode, Document, Tenant
from ingest import own_access
from ingest.deletion import await_move, delete_documents, hold_documents, move, show_documents
from policies import nodes
from policies.own_nodes import own_nodes, place_at
from tests.factories import oracle
from tests.factories.changing_people import ChangingPeople
from tests.factories.random_world import _entries, _labels, _node
from tests.factories.stopped_clock import BEGAN
from tests.factories.world import WDoc, WEntry, WNode, World, _waive, spec_of

OWN = "own:"


class ChangingWorld(ChangingPeople):
    """`between` is called with the world before and the one to come, while a source's change waits for its content."""

    between: Callable[[World, World], None] = staticmethod(lambda before, after: None)

    def what_a_source_states(self, rng: Random) -> None:
        key = rng.choice(self._containers())
        node = self.world.nodes[key]
        self._restate(key, replace(self._fresh(_node(rng, node.source, node.parent)), closed=rng.random() < 0.2))

    def a_folder_moved(self, rng: Random) -> None:
        key = rng.choice(self._containers())
        source = self.world.nodes[key].source
        others = [one for one in self._containers(source) if key not in oracle._upwards(self.world, one)]
        self._restate(key, replace(self.world.nodes[key], parent=rng.choice([*others, None])))

    def what_an_admin_states(self, rng: Random) -> None:
        key = rng.choice(self._containers())
        told = self._fresh(WNode("", admin=_entries(rng, 2), admin_labels=_labels(rng)))
        with self.db.write(self.tenant) as session:
            node = session.get_one(AclNode, self.built.nodes[key])
            nodes.state(session, node, spec_of(told, BEGAN, origin="admin"), origin="admin")
        self._administered([key], told)

    def a_waiver(self, rng: Random) -> None:
        """Of any deny that a source or an admin states at a place that is no document's own."""
        denies = [
            (key, origin, entry)
            for key, node in self.world.nodes.items()
            if not key.startswith(OWN)
            for origin, entries in (("source", node.entries), ("admin", node.admin))
            for entry in entries
            if entry.effect == "deny"
        ]
        if not denies:
            return
        key, origin, entry = rng.choice(denies)
        with self.db.write(self.tenant) as session:
            _waive(session, session.get_one(AclNode, self.built.nodes[key]), origin, [replace(entry, waived=True)])
        node = self.world.nodes[key]
        field = "entries" if origin == "source" else "admin"
        waived = tuple(replace(one, waived=True) if one == entry else one for one in getattr(node, field))
        self._node(key, replace(node, **{field: waived}))

    def a_document_moved(self, rng: Random) -> None:
        """To a folder: at once, as where only that narrows, or after waiting there for its content."""
        key = self._document(rng)
        doc = self.world.documents[key]
        with self.db.write(self.tenant) as session:
            row = self._row(session, key)
            target = doc.pending or self._target(session, rng, key)
            moved = move(session, row, self.built.nodes[target])
            if moved and row.version_id is not None:
                session.add(own_access._placing(session, row, "test"))
        self._doc(key, WDoc(target, state=doc.state))

    def a_document_that_waits(self, rng: Random) -> None:
        key = self._document(rng)
        doc = self.world.documents[key]
        with self.db.write(self.tenant) as session:
            target = self._target(session, rng, key)
            await_move(session, self._row(session, key), self.built.nodes[target])
        same = self.built.nodes[target] == self.built.nodes[doc.node]
        self._doc(key, replace(doc, pending=None if same else target))

    def what_an_admin_states_for_a_document(self, rng: Random) -> None:
        """It gets a place of its own beside the one where it stands, and beside the one it waits for."""
        key = self._document(rng)
        doc, told = self.world.documents[key], self._fresh(WNode("", admin=_entries(rng, 2), admin_labels=_labels(rng)))
        spec = spec_of(told, BEGAN, origin="admin")
        with self.db.write(self.tenant) as session:
            row = self._row(session, key)
            own_access.state_document(session, row, spec, actor="test")
            stands, waits = row.node_id, row.pending_node_id
        node = self._own(key, doc.node, stands)
        pending = self._own(key, doc.pending, waits) if doc.pending and waits else None
        self._administered(self._owned(key), told)
        self._doc(key, WDoc(node, pending, doc.state))

    def a_document_held_or_shown(self, rng: Random) -> None:
        key, state = self._document(rng), rng.choice(["held", "live"])
        with self.db.write(self.tenant) as session:
            (hold_documents if state == "held" else show_documents)(session, self.tenant, [self.built.documents[key]])
        self._doc(key, replace(self.world.documents[key], state=state))

    def a_document_deleted(self, rng: Random) -> None:
        if len(self._documents()) == 1:
            return
        key = self._document(rng)
        with self.db.write(self.tenant) as session:
            delete_documents(session, self.tenant, [self.built.documents[key]])
        self._doc(key, WDoc(self.world.documents[key].node, state="deleted"))

    def _restate(self, key: str, new: WNode) -> None:
        """As a sync does: what narrows holds at once, the rest when the content is in."""
        old, before = self.world.nodes[key], self.world
        opened = old.closed and not new.closed
        new = replace(
            new,
            entries=tuple(replace(one, waived=False) for one in new.entries)
            if opened
            else _still_waived(old.entries, new.entries),
            admin=old.admin,
            admin_labels=old.admin_labels,
        )
        with self.db.write(self.tenant) as session:
            nodes.put_container(
                session,
                session.get_one(Tenant, self.tenant),
                self.built.sources[new.source],
                key=key,
                parent=self.built.nodes[new.parent] if new.parent else None,
                title=key,
                spec=spec_of(new, BEGAN),
            )
        after = replace(before, nodes={**before.nodes, key: new})
        self.between(before, after)
        with self.db.write(self.tenant) as session:
            nodes.release(session, [session.get_one(AclNode, self.built.nodes[key])])
        self.world = after

    def _target(self, session: Session, rng: Random, key: str) -> str:
        """A folder, or the document's own place in it where it has one to itself."""
        folder = rng.choice(self._containers(self.world.nodes[self.world.documents[key].node].source))
        number = self.built.documents[key]
        own = own_nodes(session, self.tenant, [number]).get(number, [])
        node = place_at(session, session.get_one(AclNode, self.built.nodes[folder]), None, own)
        return self._own(key, folder, node.id) if own else folder

    def _own(self, document: str, place: str, node: int) -> str:
        """The world's name of a document's own place, whose row is `node`: made from where it stood or was put."""
        if place.startswith(OWN):
            return place
        name = f"{OWN}{document}:{place}"
        if name not in self.world.nodes:
            at = self.world.nodes[place]
            single = place.startswith("=")
            admins = [self.world.nodes[one] for one in self._owned(document)]
            made = WNode(
                source=at.source,
                parent=at.parent if single else place,
                mode=at.mode if single else "inherit",
                closed=single and at.closed,
                entries=tuple(replace(one, waived=False) for one in at.entries) if single else (),
                labels=at.labels if single else {},
                admin=admins[-1].admin if admins else (),
                admin_labels=admins[-1].admin_labels if admins else {},
            )
            self._node(name, made)
            self.built = replace(self.built, nodes={**self.built.nodes, name: node})
        assert self.built.nodes[name] == node
        return name

    def _owned(self, document: str) -> list[str]:
        return [key for key in self.world.nodes if key.startswith(f"{OWN}{document}:")]

    def _administered(self, keys: Iterable[str], told: WNode) -> None:
        for key in keys:
            node = self.world.nodes[key]
            admin = _still_waived(node.admin, told.admin)
            self._node(key, replace(node, admin=admin, admin_labels=told.admin_labels))

    def _fresh(self, node: WNode) -> WNode:
        """The node with its times counted from now."""
        return replace(node, entries=tuple(self._from_now(node.entries)), admin=tuple(self._from_now(node.admin)))

    def _from_now(self, entries: Iterable[WEntry]) -> Iterator[WEntry]:
        for one in entries:
            start, end = (None if at is None else at + self.clock.at for at in (one.start, one.end))
            yield replace(one, start=start, end=end)

    def _containers(self, source: str | None = None) -> list[str]:
        nodes_ = self.world.nodes.items()
        return [key for key, node in nodes_ if key[0] != "=" and OWN not in key and source in {None, node.source}]

    def _document(self, rng: Random) -> str:
        return rng.choice(self._documents())

    def _documents(self) -> list[str]:
        """The tenant's own that are not deleted."""
        world = self.world
        return [key for key, doc in world.documents.items() if key not in world.foreign and doc.state != "deleted"]

    def _row(self, session: Session, key: str) -> Document:
        return session.get_one(Document, self.built.documents[key])

    def _node(self, key: str, node: WNode) -> None:
        self.world = replace(self.world, nodes={**self.world.nodes, key: node})

    def _doc(self, key: str, doc: WDoc) -> None:
        self.world = replace(self.world, documents={**self.world.documents, key: doc})


def _still_waived(old: Iterable[WEntry], new: Iterable[WEntry]) -> tuple[WEntry, ...]:
    """The new entries; those that stood before keep their waivers, and no other has one."""
    waived = {_row(one) for one in old if one.waived}
    return tuple(replace(one, waived=_row(one) in waived) for one in new)


def _row(entry: WEntry) -> tuple[object, ...]:
    return entry.principal.lower(), entry.effect, entry.start, entry.end, entry.app
