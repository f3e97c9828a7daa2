"""A page of a permission crawl: objects that are known move to where their access says; nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.ids import public_id
from core.tables import AclNode, Document, Item, Run, Source
from ingest.deletion import abandon_versions, await_move, move
from ingest.dispatch import OPEN
from ingest.model import AccessChange
from ingest.placing import Placer
from ingest.runs import start_run
from policies.own_nodes import own_nodes


class AccessListing:
    """Applies what a crawl says of objects inside the caller's transaction.

    A narrower audience holds at once. A wider one holds when the crawl was judged, if the text is the one that it was
    read with; else it waits for that text.
    """

    def __init__(self, session: Session, run: Run, placer: Placer) -> None:
        self._session, self._run, self._placer = session, run, placer

    def apply(self, changes: Sequence[AccessChange]) -> None:
        """Objects that no content run has listed yet are left to the next one."""
        unique = {one.id: one for one in changes}
        nodes = self._placer.known(sorted({one.node for one in unique.values()}))
        self._run.listed += len(unique)
        items = self._open_items(list(unique))
        documents = self._documents(list(unique))
        own = own_nodes(self._session, self._run.tenant_id, [document.id for document in documents])
        for document in documents:
            change = unique[document.external_id]
            target = self._placer.target(nodes[change.node], change.access, own.get(document.id, ()))
            going = self._redirect(items.get(document.id, []), change, target)
            self._place(document, change, target, going=going)
        self._session.flush()

    def _open_items(self, ids: Sequence[str]) -> dict[int, list[Item]]:
        """Work in hand, locked before its documents: as a worker locks them that commits."""
        rows = self._session.scalars(
            select(Item)
            .where(
                Item.source_id == self._run.source_id,
                Item.external_id.in_(ids),
                Item.stage.in_(["parse", "encode"]),
                Item.state.in_(OPEN),
            )
            .order_by(Item.id)
            .with_for_update()
        )
        found: dict[int, list[Item]] = {}
        for row in rows:
            found.setdefault(row.document_id or 0, []).append(row)
        return found

    def _documents(self, ids: Sequence[str]) -> Sequence[Document]:
        return self._session.scalars(
            select(Document)
            .where(
                Document.source_id == self._run.source_id,
                Document.external_id.in_(ids),
                Document.state.in_(["live", "held"]),
            )
            .order_by(Document.id)
            .with_for_update()
        ).all()

    def _redirect(self, items: Sequence[Item], change: AccessChange, target: AclNode) -> bool:
        """Sends work in hand to the new place; what it builds from another version is given up. Whether any is left."""
        left = False
        for item in items:
            if self._meant(item, change, target):
                item.payload = {**item.payload, "target": target.id}
                left = True
            else:
                item.state, item.note = "skipped", "it changed since it was listed; the next sync takes it"
                item.lease_token += 1
                abandon_versions(self._session, select(Item.version_id).where(Item.id == item.id))
        return left

    def _meant(self, item: Item, change: AccessChange, target: AclNode) -> bool:
        """Whether the new place is meant for the text that is being built."""
        built = item.payload["version"]
        if built is None or change.version is not None:
            return built in (None, change.version)
        return not self._placer.opens(item.payload["target"], target)

    def _place(self, document: Document, change: AccessChange, target: AclNode, *, going: bool) -> None:
        if document.version_id is None:
            move(self._session, document, target.id)
        elif change.version is None:
            self._ask_for_content(document, target)
            await_move(self._session, document, target.id)
        elif going or change.version != document.source_version:
            self._run.widened += self._placer.widens(document, target)
            await_move(self._session, document, target.id)
        elif self._placer.widens(document, target):
            self._run.widened += 1
            await_move(self._session, document, target.id)
            self._session.add(self._item(document, target, widens=True))
        elif move(self._session, document, target.id):
            self._session.add(self._item(document, target, widens=False))

    def _ask_for_content(self, document: Document, target: AclNode) -> None:
        """Whether the text is still the one that a wider audience is meant for, only a listing of content can tell;
        it judges how much widens, too.
        """
        source = self._session.get_one(Source, self._run.source_id)
        news = document.pending_node_id != target.id and self._placer.widens(document, target)
        if news and source.state == "active":
            start_run(self._session, source, trigger="widening")

    def _item(self, document: Document, target: AclNode, *, widens: bool) -> Item:
        """The work of moving the document's points."""
        return Item(
            public_id=public_id("itm"),
            tenant_id=self._run.tenant_id,
            run_id=self._run.id,
            source_id=self._run.source_id,
            document_id=document.id,
            external_id=document.external_id,
            state="pending",
            stage="place",
            priority=self._run.priority,
            widens=widens,
            payload={"target": target.id},
        )
