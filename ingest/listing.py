"""The listing stage: a connector's changes become nodes, documents and items, one transaction a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from core.clock import db_now
from core.errors import AmbitError
from core.ids import public_id
from core.secrets import Keyring
from core.settings import Settings
from core.tables import AclNode, Document, Item, Run, Source, Tenant
from ingest.access_listing import AccessListing
from ingest.batches import batched
from ingest.deletion import await_move, delete_documents, move, revive
from ingest.erasure.withheld import withheld
from ingest.guards import judge
from ingest.model import (
    AccessChange,
    Change,
    Checkpoint,
    Delete,
    ItemRef,
    MembershipChange,
    NodeChange,
    Problem,
    Upsert,
)
from ingest.placing import Placer
from ingest.queue import PERMISSIONS
from ingest.refs import dump_ref
from policies.directory import put_group, set_members
from policies.epoch import remember, source_state
from policies.own_nodes import own_nodes

PAGE = 500
NO_DOCUMENT = frozenset({"link_outside", "link_skipped", "not_a_file"})


def pages(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """Changes in pages, each ending at a checkpoint or at the page size; also what came before an error."""
    page: list[Change] = []
    try:
        for change in changes:
            page.append(change)
            if isinstance(change, Checkpoint) or len(page) >= PAGE:
                yield page
                page = []
    except AmbitError:
        if page:
            yield page
        raise
    if page:
        yield page


class Listing:
    """Applies pages of one run inside the caller's transaction."""

    def __init__(self, session: Session, run: Run, settings: Settings, structure: str, keyring: Keyring) -> None:
        self.session, self.run, self.settings, self.structure = session, run, settings, structure
        self.keyring = keyring
        self.tenant = session.get_one(Tenant, run.tenant_id)
        self.source = session.get_one(Source, run.source_id, with_for_update={"key_share": True})
        self.placer = Placer(session, run, self.tenant)
        self.anew = run.kind != PERMISSIONS and outdated(self.source, structure)

    def apply(self, page: Sequence[Change]) -> bool:
        """Stores a page; True when it ended the listing."""
        self.placer.nodes([one for one in page if isinstance(one, NodeChange)])
        self._objects([one.item for one in page if isinstance(one, Upsert)])
        self._accesses([one for one in page if isinstance(one, AccessChange)])
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

    def _objects(self, refs: Sequence[ItemRef]) -> None:
        unique = {ref.id: ref for ref in refs}
        for one in withheld(self.session, self.keyring, self.source.id, list(unique)):
            del unique[one]
        if not unique:
            return
        nodes = self.placer.known(sorted({ref.node for ref in unique.values()}))
        listed = self._listed(list(unique))
        known = self._known(list(unique))
        own = own_nodes(self.session, self.tenant.id, [document.id for document in known.values()])
        self.run.listed += len(unique)
        fresh = {ref.id: ref for ref in unique.values() if ref.id not in listed}
        targets = {
            one: self.placer.target(nodes[ref.node], ref.access, own.get(known[one].id, ()) if one in known else ())
            for one, ref in fresh.items()
        }
        same = {one for one, ref in fresh.items() if one in known and self._unchanged(known[one], ref)}
        for one in sorted(same):
            self._place(known[one], fresh[one], targets[one])
        self._see([known[one].id for one in same])
        self.run.unchanged += len(same)
        self._queue([ref for one, ref in fresh.items() if one not in same], known, targets)
        self.session.flush()

    def _accesses(self, changes: Sequence[AccessChange]) -> None:
        if changes:
            AccessListing(self.session, self.run, self.placer).apply(changes)

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

    def _unchanged(self, document: Document, ref: ItemRef) -> bool:
        live = document.state in ("live", "held") and not self.anew
        return live and ref.version is not None and document.source_version == ref.version

    def _place(self, document: Document, ref: ItemRef, target: AclNode) -> None:
        """The text stays: a narrower audience holds at once, a wider one when the whole listing was judged."""
        revive(self.session, document)
        if self.placer.widens(document, target):
            await_move(self.session, document, target.id)
            self.run.widened += 1
            self.session.add(self._item(ref, document.id, "place", target.id, widens=True))
        elif move(self.session, document, target.id) and document.version_id is not None:
            self.session.add(self._item(ref, document.id, "place", target.id))

    def _queue(self, refs: Sequence[ItemRef], known: dict[str, Document], targets: dict[str, AclNode]) -> None:
        """Documents first and at once, then the items that name them."""
        wider = {ref.id for ref in refs if self.placer.widens(known.get(ref.id), targets[ref.id])}
        self.run.widened += len(wider)
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
            item = self._item(ref, known[ref.id].id, "parse", targets[ref.id].id, widens=ref.id in wider)
            self.session.add(item)

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

    def _item(self, ref: ItemRef, document: int, stage: str, target: int, *, widens: bool = False) -> Item:
        return Item(
            public_id=public_id("itm"),
            tenant_id=self.tenant.id,
            run_id=self.run.id,
            source_id=self.source.id,
            document_id=document,
            external_id=ref.id,
            state="pending",
            stage=stage,
            priority=self.run.priority,
            widens=widens,
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
        for one in withheld(self.session, self.keyring, self.source.id, list(unique)):
            del unique[one]
        if not unique:
            return
        kept = [one.id for one in unique.values() if one.code not in NO_DOCUMENT and self.run.kind != "permissions"]
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
        if self.run.kind != PERMISSIONS:
            self.source.structure = self.structure
        if last.access_complete:
            freshen(self.session, self.source, self.run)
        judge(self.session, self.settings, self.run, self._unseen() if last.full else [])

    def _unseen(self) -> Sequence[int]:
        alive = (Document.source_id == self.source.id) & Document.state.in_(["live", "held"])
        unseen = or_(Document.seen_run_id.is_(None), Document.seen_run_id < self.run.id)
        return self.session.scalars(select(Document.id).where(alive, unseen)).all()


def outdated(source: Source, structure: str) -> bool:
    """Whether the source's texts were split otherwise than they would be now."""
    return source.structure is not None and source.structure != structure


def freshen(session: Session, source: Source, run: Run) -> None:
    """Access data of the source is as fresh as this run's start, unless a later crawl ended before."""
    before = source.access_synced_at
    if run.started_at is not None and (before is None or before < run.started_at):
        remember(session, source.tenant_id, "source", source, source_state(source))
        source.access_synced_at = run.started_at


def begin(session: Session, run_id: int) -> None:
    """Marks the start of a run's first claim; its permission crawl counts from here."""
    session.execute(update(Run).where(Run.id == run_id, Run.started_at.is_(None)).values(started_at=db_now()))
