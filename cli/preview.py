"""What a sync would do: the connector's listing held against SQL, without writing anything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cli.context import counted

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from cli.store import Store
    from core.tables import AclNode, Document, Source
    from ingest.model import Change, Checkpoint, ItemRef

GROUPS = ("added", "changed", "deleted", "access", "problems")


def preview(store: Store, name: str) -> dict[str, Any]:
    """Ids that would be added, changed or deleted, places and documents whose access would change and what that would
    do to whom, and problems.

    Raises:
        SourceError: the source cannot be listed.
    """
    from cli.store import find_source
    from ingest.foresight import foresee
    from ingest.listing import outdated

    with store.db.read() as session:
        source = find_source(session, store.tenant, name)
        session.expunge_all()
    pipeline = store.runtime.pipeline
    anew = outdated(source, pipeline.structure)
    changes = list(pipeline.connectors.open(source).changes(None if anew else source.cursor))
    with store.db.read() as session:
        changes = _admitted(session, store, source, changes)
        compared = _Compared(session, source, anew=anew)
        compared.take(changes)
        foreseen = foresee(session, source, changes)
    return {**compared.as_dict(), "readers": foreseen.as_dict()}


def _admitted(session: Session, store: Store, source: Source, changes: list[Change]) -> list[Change]:
    """What a sync would take up: all but what was erased and is kept out."""
    from ingest.erasure.withheld import withheld
    from ingest.model import Problem, Upsert

    named = {id(one): one.item.id for one in changes if isinstance(one, Upsert)}
    named |= {id(one): one.id for one in changes if isinstance(one, Problem)}
    out = withheld(session, store.runtime.keyring, source.id, named.values())
    return [one for one in changes if named.get(id(one)) not in out]


class _Compared:
    """One listing against one snapshot."""

    def __init__(self, session: Session, source: Source, *, anew: bool) -> None:
        from sqlalchemy import select

        from core.tables import AclNode, Document

        self._source, self._anew = source, anew
        self._documents: dict[str, Document] = {
            row.external_id: row for row in session.scalars(select(Document).where(Document.source_id == source.id))
        }
        nodes = session.scalars(select(AclNode).where(AclNode.source_id == source.id)).all()
        self._nodes: dict[str, AclNode] = {row.key: row for row in nodes}
        self._by_id = {row.id: row for row in nodes}
        self._own = {row.document_id for row in nodes if row.document_id is not None}
        self._seen: set[str] = set()
        self._found: dict[str, list[Any]] = {group: [] for group in GROUPS}
        self._unchanged = 0
        session.expunge_all()

    def take(self, changes: Iterable[Change]) -> None:
        """Sorts every change of a listing."""
        from ingest.model import Checkpoint, Delete, NodeChange, Problem, Upsert

        for change in changes:
            if isinstance(change, NodeChange):
                self._node(change)
            elif isinstance(change, Upsert):
                self._object(change.item)
            elif isinstance(change, Problem):
                self._seen.add(change.id)
                problem = {"file": change.id, "code": change.code, "reason": change.detail}
                self._found["problems"].append(problem)
            elif isinstance(change, Delete):
                self._deleted([change.id])
            elif isinstance(change, Checkpoint):
                self._checkpoint(change)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"source": self._source.key, "unchanged": self._unchanged, **self._found}

    def _checkpoint(self, change: Checkpoint) -> None:
        if change.complete and change.full:
            self._deleted([one for one in self._documents if one not in self._seen])

    def _deleted(self, ids: Iterable[str]) -> None:
        there = [one for one in ids if one in self._documents and self._documents[one].state != "deleted"]
        self._found["deleted"] += sorted(there)

    def _node(self, change: Any) -> None:
        from policies.nodes import digest

        node = self._nodes.get(change.key)
        parent = self._by_id.get(node.parent_id) if node is not None and node.parent_id is not None else None
        moved = node is not None and change.parent != (parent.key if parent else None)
        if node is not None and (moved or node.access_hash != digest(change.access)):
            self._found["access"].append(change.key or "(root)")

    def _object(self, ref: ItemRef) -> None:
        self._seen.add(ref.id)
        document = self._documents.get(ref.id)
        if document is None or document.state == "deleted":
            self._found["added"].append(ref.id)
            return
        if self._anew or ref.version is None or document.source_version != ref.version:
            self._found["changed"].append(ref.id)
        else:
            self._unchanged += 1
        if self._place(ref, document) != self._standing(document):
            self._found["access"].append(ref.id)

    def _standing(self, document: Document) -> str | None:
        node = self._by_id.get(document.pending_node_id or document.node_id)
        return node.key if node else None

    def _place(self, ref: ItemRef, document: Document) -> str:
        """The key of the node it would stand at, as `policies.own_nodes.place_at` names it."""
        from policies.model import AccessSpec
        from policies.nodes import digest
        from policies.own_nodes import own_key

        container = self._nodes.get(ref.node)
        if document.id in self._own and container is not None:
            return own_key(document.id, container.id, ref.access or AccessSpec())
        if ref.access is None or ref.access.plain:
            return ref.node
        return f"={container.id}.{digest(ref.access)}" if container else "(new)"


def show(out: Console, previews: Iterable[dict[str, Any]]) -> None:
    """What would happen, a line each."""
    from rich.text import Text

    signs = {"added": ("+", "green"), "changed": ("~", "yellow"), "deleted": ("-", "red"), "access": ("a", "magenta")}
    for one in previews:
        for group, (sign, colour) in signs.items():
            for name in one[group]:
                out.print(Text(f"{sign} {one['source']}:{name}", style=colour))
        for problem in one["problems"]:
            out.print(Text(f"! {one['source']}:{problem['file']}  {problem['code']}: {problem['reason']}", style="red"))
        _show_readers(out, one)
        told = ", ".join(f"{len(one[group])} {group}" for group in GROUPS)
        out.print(f"{one['source']}: {told}; {one['unchanged']} unchanged; nothing was written", markup=False)


def _show_readers(out: Console, one: dict[str, Any]) -> None:
    """Who would gain or lose documents that are in already."""
    from rich.text import Text

    for effect in one["readers"]["effects"]:
        names = ", ".join(effect["documents"]) + (", …" if effect["count"] > len(effect["documents"]) else "")
        for word, people, count, colour in (
            ("gain", effect["gained"], effect["people_gained"], "yellow"),
            ("lose", effect["lost"], effect["people_lost"], "red"),
        ):
            if count:
                who = ", ".join(people[:5]) + (", …" if count > 5 else "")
                documents = counted(effect["count"], "document", "documents")
                text = f"  {counted(count, 'person', 'people')} would {word} {documents} ({names}): {who}"
                out.print(Text(text, style=colour))
    if not one["readers"]["complete"]:
        out.print("  not every kind of change was asked about: there are too many", markup=False)
