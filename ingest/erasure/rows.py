"""The rows of documents and sources, removed; their points are noted as garbage before what names them is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from core.clock import db_now
from core.tables import (
    Ace,
    AclNode,
    Chunk,
    Document,
    DocumentVersion,
    ErasedObject,
    Facet,
    Item,
    Label,
    Membership,
    PointGarbage,
    Run,
    Source,
    StateHistory,
    Upload,
    VersionChunk,
)
from ingest.batches import batched
from ingest.catalogue.forget import forget_profiles
from ingest.facets import facet_values
from ingest.purge import discard
from policies.epoch import bump

DOCUMENTS_AT_ONCE = 20
_BATCH = 1000


def being_worked_on(session: Session, where: ColumnElement[bool]) -> bool:
    """Whether a worker holds an item of these documents and might still write a point."""
    held = (where, Item.lease_until > db_now())
    return session.scalars(select(Item.id).where(*held).limit(1)).first() is not None


def last_garbage(session: Session) -> int:
    """The newest point that waits to be removed; 0: none."""
    return session.scalar(select(func.max(PointGarbage.id))) or 0


def garbage_waits(session: Session, until: int) -> bool:
    """Whether a point noted by then is not removed yet."""
    return session.scalars(select(PointGarbage.id).where(PointGarbage.id <= until).limit(1)).first() is not None


def remove_documents(session: Session, tenant: int, ids: Sequence[int]) -> Counter[str]:
    """Removes documents and all that hangs on them; how many rows that were, by table, but for chunks, of which the
    purge may have been first to remove some.
    """
    gone: Counter[str] = Counter()
    rows = session.scalars(select(Document).where(Document.tenant_id == tenant, Document.id.in_(ids))).all()
    versions = select(DocumentVersion.id).where(DocumentVersion.document_id.in_(ids))
    _remove(session, gone, VersionChunk, VersionChunk.version_id.in_(versions))
    chunks = session.scalars(select(Chunk).where(Chunk.document_id.in_(ids))).all()
    discard(session, chunks)
    forget_profiles(session, ids)
    _remove(session, gone, DocumentVersion, DocumentVersion.document_id.in_(ids))
    for row in rows:
        mine = (Item.document_id == row.id) | (
            (Item.source_id == row.source_id) & (Item.external_id == row.external_id) & Item.document_id.is_(None)
        )
        _remove(session, gone, Item, mine)
        _remove(session, gone, Upload, Upload.source_id == row.source_id, Upload.external_id == row.external_id)
    _remove_nodes(session, gone, tenant, AclNode.document_id.in_(ids))
    _remove_states(session, gone, tenant, "document", ids)
    _remove(session, gone, Document, Document.tenant_id == tenant, Document.id.in_(ids))
    return gone


def remove_source(session: Session, tenant: int, source: Source) -> Counter[str]:
    """Removes a source of which no document is left."""
    gone: Counter[str] = Counter()
    mine = source.id
    _remove_nodes(session, gone, tenant, AclNode.source_id == mine)
    _remove_states(session, gone, tenant, "source", [mine])
    origin = f"source:{source.key}"
    if session.scalars(
        select(Membership.id).where(Membership.tenant_id == tenant, Membership.origin == origin)
    ).first():
        bump(session, tenant)
    _remove(session, gone, Membership, Membership.tenant_id == tenant, Membership.origin == origin)
    for table in (Item, Upload, Run, ErasedObject):
        _remove(session, gone, table, table.source_id == mine)
    _remove(session, gone, Source, Source.tenant_id == tenant, Source.id == mine)
    return gone


def _remove(session: Session, gone: Counter[str], table: Any, *where: Any) -> None:
    done: Any = session.execute(delete(table).where(*where), execution_options={"synchronize_session": False})
    if done.rowcount:
        gone[table.__tablename__] += done.rowcount


def _remove_nodes(session: Session, gone: Counter[str], tenant: int, where: ColumnElement[bool]) -> None:
    """Places with their entries and labels, which are inputs of decisions, and their history."""
    nodes = session.scalars(select(AclNode.id).where(AclNode.tenant_id == tenant, where)).all()
    if not nodes:
        return
    bump(session, tenant)
    for part in batched(nodes, 5000):
        for table in (Ace, Label):
            _remove(session, gone, table, table.tenant_id == tenant, table.node_id.in_(part))
        _remove_states(session, gone, tenant, "node", part)
        _remove(session, gone, AclNode, AclNode.tenant_id == tenant, AclNode.id.in_(part))


def _remove_states(session: Session, gone: Counter[str], tenant: int, kind: str, ids: Sequence[int]) -> None:
    mine = (StateHistory.tenant_id == tenant, StateHistory.kind == kind, StateHistory.subject_id.in_(ids))
    _remove(session, gone, StateHistory, *mine)


def remove_facets(session: Session, tenant: int) -> Counter[str]:
    """Values that callers could filter by and that no document has any more: an author's name, a folder's."""
    gone: Counter[str] = Counter()
    held: set[tuple[str, str]] = set()
    last = _holds(session, tenant, 0, held)
    known = session.execute(select(Facet.id, Facet.name, Facet.value).where(Facet.tenant_id == tenant)).all()
    _holds(session, tenant, last, held)  # versions that came meanwhile
    ids = [one.id for one in known if (one.name, one.value) not in held]
    for part in batched(ids, 5000):
        _remove(session, gone, Facet, Facet.tenant_id == tenant, Facet.id.in_(part))
    return gone


def _holds(session: Session, tenant: int, after: int, held: set[tuple[str, str]]) -> int:
    """Adds the values of versions beyond an id that are, or may become, current; the newest id there is."""
    mine = (DocumentVersion.tenant_id == tenant, DocumentVersion.id > after)
    alive = DocumentVersion.state.in_(["staged", "current"])
    last = after
    statement = select(DocumentVersion).where(*mine, alive).order_by(DocumentVersion.id)
    for version in session.scalars(statement.execution_options(yield_per=_BATCH)):
        held.update(facet_values(version))
        last = version.id
    session.expunge_all()
    return last
