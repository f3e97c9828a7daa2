"""Deletion: gone from answers in the transaction that records it, from the index a little later, by explicit id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from core.clock import db_now
from core.tables import Document, DocumentVersion, Item
from ingest.batches import batched
from ingest.catalogue.forget import forget_profiles
from ingest.points import outdate
from policies.epoch import remember
from policies.nodes import closed_node

_BATCH = 1000


def delete_documents(session: Session, tenant: int, ids: Sequence[int]) -> None:
    """Marks documents deleted; their versions become old, so that their points are removed."""
    for part in batched(ids, _BATCH):
        for document in session.scalars(select(Document).where(Document.id.in_(part))):
            remember(session, tenant, "document", document, placement(document))
            document.state, document.version_id, document.pending_node_id = "deleted", None, None
            document.source_version = document.content_hash = None
            document.deleted_at = db_now()
        session.flush()
        session.execute(
            update(DocumentVersion)
            .where(DocumentVersion.document_id.in_(part), DocumentVersion.state.in_(["staged", "current"]))
            .values(state="old")
        )
        forget_profiles(session, part)
        session.execute(
            update(Item)
            .where(Item.document_id.in_(part), Item.state.in_(["pending", "waiting", "leased"]))
            .values(state="skipped", note="the document was deleted", lease_token=Item.lease_token + 1)
        )


def abandon_versions(session: Session, versions: Select[Any]) -> None:
    """Lets go of versions that were built and will never be shown."""
    session.execute(
        update(DocumentVersion)
        .where(DocumentVersion.id.in_(versions), DocumentVersion.state == "staged")
        .values(state="old")
    )


def hold_documents(session: Session, tenant: int, ids: Sequence[int]) -> None:
    """Hides documents from answers without purging them, until somebody approves or a sync sees them again."""
    _set_state(session, tenant, ids, "held")


def show_documents(session: Session, tenant: int, ids: Sequence[int]) -> None:
    """Shows held documents again."""
    _set_state(session, tenant, ids, "live")


def _set_state(session: Session, tenant: int, ids: Sequence[int], state: str) -> None:
    for part in batched(ids, _BATCH):
        for document in session.scalars(select(Document).where(Document.id.in_(part))):
            remember(session, tenant, "document", document, placement(document))
            document.state = state
        session.flush()


def revive(session: Session, document: Document) -> None:
    """Makes a document live again that was held or deleted; its text is shown where it has a version."""
    if document.state != "live":
        remember(session, document.tenant_id, "document", document, placement(document))
        document.state, document.deleted_at = "live", None


def hide_behind_closed(session: Session, tenant: int, source: int, ids: Iterable[int]) -> None:
    """Puts documents under the closed node, until their next good version moves them to their own."""
    wanted = list(ids)
    if not wanted:
        return
    node = closed_node(session, tenant, source)
    for part in batched(wanted, _BATCH):
        for document in session.scalars(select(Document).where(Document.id.in_(part))):
            move(session, document, node.id)
            document.source_version = None


def move(session: Session, document: Document, node: int) -> bool:
    """Puts a document under another node at once; False where it stands there already."""
    if document.node_id == node and document.pending_node_id is None:
        return False
    remember(session, document.tenant_id, "document", document, placement(document))
    document.node_id, document.pending_node_id = node, None
    outdate(session, document.id)
    return True


def await_move(session: Session, document: Document, node: int) -> None:
    """Readable only where both nodes allow, until the content that was listed with the new one is in."""
    target = None if document.node_id == node else node
    if document.pending_node_id != target:
        remember(session, document.tenant_id, "document", document, placement(document))
        document.pending_node_id = target


def placement(document: Document) -> dict[str, Any]:
    """What of a document decides who reads it."""
    return {"node": document.node_id, "pending": document.pending_node_id, "state": document.state}
