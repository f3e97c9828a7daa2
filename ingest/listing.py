"""The listing stage: a connector's changes become nodes, documents and items, one transaction a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from core.clock import db_now
from core.ids import public_id
from core.settings import Settings
from core.tables import AclNode, Document, Item, Run, Source, Tenant
from ingest.batches import batched
from ingest.deletion import await_move, delete_documents, hold_documents, move, revive
from ingest.model import (
    Change,
    Checkpoint,
    Delete,
    ItemRef,
    MembershipChange,
    NodeChange,
    Problem,
    Upsert,
)
from ingest.refs import dump_ref
from policies.directory import put_group, set_members
from policies.epoch import remember, source_state
from policies.nodes import digest, put_container
from policies.own_nodes import own_nodes, place_at

PAGE = 500
NO_DOCUMENT = frozenset({"link_outside", "link_skipped", "not_a_file"})


def pages(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """Changes in pages, each ending at a checkpoint or at the page size."""
    page: list[Change] = []
    for change in changes:
        page.append(change)
        if isinstance(change, Checkpoint) or len(page) >= PAGE:
            yield page
            page = []
    if page:
        yield page


class Listing:
    """Applies pages of one run inside the caller's transaction."""

    def __init__(self, session: Session, run: Run, settings: Settings) -> None:
        self.session, self.run, self.settings = session, run, settings
        self.tenant = session.get_one(Tenant, run.tenant_id)
        self.source = session.get_one(Source, run.source_id, with_for_update={"key_share": True})

    def apply(self, page: Sequence[Change]) -> bool:
        """Stores a page; True when it ended the listing."""
        self._nodes([one for one in page if isinstance(one, NodeChange)])
        self._objects([one.item for one in page if isinstance(one, Upsert)])
        self._problems([one for one in page if isinstance(one, Problem)])
        self._deletes([one.id for one in page if isinstance(one, Delete)])
        for change in page:
            if isinstance(change, MembershipChange):
                self._membership(change)
        last = page[-1]
        if not isinstance(last, Checkpoint):
            return False
        self.run.checkpoint = dict(last.cursor)
        if last.complete:
            self._complete(last)
        return last.complete

    def _nodes(self, changes: Sequence[NodeChange]) -> None:
        known = self._known_nodes([change.key for change in changes])
        for change in changes:
            parent = None if change.parent is None else self._node(change.parent).id
            node = known.get(change.key)
            settled = node is not None and node.pending is None and node.title == change.title
            if node is None or not settled or node.parent_id != parent or node.access_hash != digest(change.access):
                put_container(
                    self.session,
                    self.tenant,
                    self.source.id,
                    key=change.key,
                    parent=parent,
                    title=change.title,
                    spec=change.access,
                )

    def _known_nodes(self, keys: Sequence[str]) -> dict[str, AclNode]:
        rows = self.session.scalars(select(AclNode).where(AclNode.source_id == self.source.id, AclNode.key.in_(keys)))
        return {row.key: row for row in rows}

    def _node(self, key: str) -> AclNode:
        return self.session.scalars(
            select(AclNode).where(AclNode.source_id == self.source.id, AclNode.key == key)
        ).one()

    def _objects(self, refs: Sequence[ItemRef]) -> None:
        unique = {ref.id: ref for ref in refs}
        nodes = self._known_nodes(sorted({ref.node for ref in unique.values()}))
        listed = self._listed(list(unique))
        known = self._known(list(unique))
        own = own_nodes(self.session, self.tenant.id, [document.id for document in known.values()])
        self.run.listed += len(unique)
        fresh = {ref.id: ref for ref in unique.values() if ref.id not in listed}
        targets = {
            one: place_at(self.session, nodes[ref.node], ref.access, own.get(known[one].id, ()) if one in known else ())
            for one, ref in fresh.items()
        }
        same = {one for one, ref in fresh.items() if one in known and self._unchanged(known[one], ref)}
        for one in sorted(same):
            self._place(known[one], fresh[one], targets[one])
        self._see([known[one].id for one in same])
        self.run.unchanged += len(same)
        self._queue([ref for one, ref in fresh.items() if one not in same], known, targets)
        self.session.flush()

    def _known(self, ids: Sequence[str]) -> dict[str, Document]:
        rows = self.session.scalars(
            select(Document).where(Document.source_id == self.source.id, Document.external_id.in_(ids))
        )
        return {row.external_id: row for row in rows}

    def _listed(self, ids: Sequence[str]) -> set[str]:
        """Objects of this page that the run has an item for already: a source may repeat itself."""
        return set(
            self.session.scalars(select(Item.external_id).where(Item.run_id == self.run.id, Item.external_id.in_(ids)))
        )

    @staticmethod
    def _unchanged(document: Document, ref: ItemRef) -> bool:
        live = document.state in ("live", "held")
        return live and ref.version is not None and document.source_version == ref.version

    def _place(self, document: Document, ref: ItemRef, target: AclNode) -> None:
        """The text stays, so its audience may change at once, either way."""
        revive(self.session, document)
        if move(self.session, document, target.id) and document.version_id is not None:
            self.session.add(self._item(ref, document.id, "place", target.id))

    def _queue(self, refs: Sequence[ItemRef], known: dict[str, Document], targets: dict[str, AclNode]) -> None:
        """Documents first and at once, then the items that name them."""
        for ref in refs:
            document = known.get(ref.id)
            if document is None:
                document = known[ref.id] = self._new_document(ref, targets[ref.id])
            elif document.version_id is None:
                revive(self.session, document)
                move(self.session, document, targets[ref.id].id)
            else:
                revive(self.session, document)
                await_move(self.session, document, targets[ref.id].id)
            document.seen_run_id = self.run.id
        self.session.flush()
        for ref in refs:
            self.session.add(self._item(ref, known[ref.id].id, "parse", targets[ref.id].id))

    def _new_document(self, ref: ItemRef, target: AclNode) -> Document:
        document = Document(
            public_id=public_id("doc"),
            tenant_id=self.tenant.id,
            source_id=self.source.id,
            external_id=ref.id,
            node_id=target.id,
            epoch_from=target.epoch_from,
        )
        self.session.add(document)
        return document

    def _item(self, ref: ItemRef, document: int, stage: str, target: int) -> Item:
        return Item(
            public_id=public_id("itm"),
            tenant_id=self.tenant.id,
            run_id=self.run.id,
            source_id=self.source.id,
            document_id=document,
            external_id=ref.id,
            state="pending",
            stage=stage,
            payload={**dump_ref(ref), "target": target},
        )

    def _see(self, ids: Sequence[int]) -> None:
        for part in batched(ids, 5000):
            self.session.execute(
                update(Document).where(Document.id.in_(part)).values(seen_run_id=self.run.id),
                execution_options={"synchronize_session": False},
            )

    def _problems(self, problems: Sequence[Problem]) -> None:
        """Lists each as a failed item. What stands there but is no document any more counts as absent."""
        unique = {one.id: one for one in problems}
        kept = [one.id for one in unique.values() if one.code not in NO_DOCUMENT]
        self._see([document.id for document in self._known(kept).values()])
        told = set(
            self.session.scalars(
                select(Item.external_id).where(
                    Item.run_id == self.run.id, Item.external_id.in_(list(unique)), Item.stage == "listed"
                )
            )
        )
        self.session.add_all(self._failed(one) for one in unique.values() if one.id not in told)
        self.session.flush()

    def _failed(self, problem: Problem) -> Item:
        return Item(
            public_id=public_id("itm"),
            tenant_id=self.tenant.id,
            run_id=self.run.id,
            source_id=self.source.id,
            external_id=problem.id,
            state="failed",
            stage="listed",
            payload={},
            error_code=problem.code,
            error_detail=problem.detail,
        )

    def _deletes(self, ids: Sequence[str]) -> None:
        gone = [document.id for document in self._known(ids).values() if document.state != "deleted"]
        delete_documents(self.session, self.tenant.id, gone)
        self.run.deleted += len(gone)

    def _membership(self, change: MembershipChange) -> None:
        put_group(self.session, self.tenant.id, change.group)
        origin = f"source:{self.source.key}"
        set_members(self.session, self.tenant.id, change.group, change.members, origin=origin)
        self.session.add_all(self._powerless(change.group, one) for one in change.members if one.startswith("app:"))

    def _powerless(self, group: str, member: str) -> Item:
        """A note in the run: the source put an app into a group, which gives and denies it nothing."""
        return Item(
            public_id=public_id("itm"),
            tenant_id=self.tenant.id,
            run_id=self.run.id,
            source_id=self.source.id,
            external_id=f"group:{group}",
            state="skipped",
            stage="listed",
            payload={},
            note=f"{member} is in it at the source; an app in a group is no member: deny it by its own name",
        )

    def _complete(self, last: Checkpoint) -> None:
        """Ends the listing: access counts as fresh from the run's start, and what was not shown is gone."""
        self.run.listed_all = True
        self.run.state = "working"
        self.run.access_failed = not last.access_complete
        if last.access_complete:
            remember(self.session, self.tenant.id, "source", self.source, source_state(self.source))
            self.source.access_synced_at = self.run.started_at
        if last.full:
            self._delete_unseen()

    def _delete_unseen(self) -> None:
        alive = (Document.source_id == self.source.id) & Document.state.in_(["live", "held"])
        unseen = or_(Document.seen_run_id.is_(None), Document.seen_run_id != self.run.id)
        gone = self.session.scalars(select(Document.id).where(alive, unseen)).all()
        total = self.session.scalar(select(func.count()).select_from(Document).where(alive)) or 0
        settings = self.settings
        if len(gone) > settings.deletion_guard_min and len(gone) > settings.deletion_guard * total:
            hold_documents(self.session, self.tenant.id, gone)
            self.run.state = "held"
            self.run.error_detail = (
                f"{len(gone)} of {total} documents are missing from the listing; they are hidden, "
                "not deleted: approve or cancel the run"
            )
            return
        delete_documents(self.session, self.tenant.id, gone)
        self.run.deleted += len(gone)


def begin(session: Session, run_id: int) -> None:
    """Marks the start of a run's first claim; its permission crawl counts from here."""
    session.execute(update(Run).where(Run.id == run_id, Run.started_at.is_(None)).values(started_at=db_now()))
