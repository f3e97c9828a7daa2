"""An admin's entries and labels for one document: they stay, whatever its source states at a later sync."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import db_now
from core.ids import public_id
from core.tables import AclNode, Document, Item, Run, Source
from ingest.deletion import await_move, move
from ingest.dispatch import OPEN
from policies.model import AccessSpec
from policies.nodes import HIDDEN
from policies.own_nodes import state_for, take_own

ACCESS = "access"


def state_document(session: Session, document: Document, spec: AccessSpec, *, actor: str) -> AccessSpec:
    """Makes `spec` (its mode counts for nothing) what admins state for this document; returns what it was before.

    It holds with the commit. Where the document got a place of its own by it, a run updates the payload of its points,
    so that those who gained find it; until then the index offers it to those who could read it before.
    """
    session.get_one(Source, document.source_id, with_for_update={"key_share": True})
    session.refresh(document, with_for_update=True)
    stands, waits = document.node_id, document.pending_node_id
    moved = {one: _own(session, document, one) for one in _targets(session, document)}
    before = state_for(session, document, spec)
    hidden = session.get_one(AclNode, stands).key == HIDDEN
    changed = not hidden and move(session, document, moved[stands])
    if waits is not None:
        await_move(session, document, moved[waits])
    _follow(session, document, moved)
    if changed and document.version_id is not None:
        session.add(_placing(session, document, actor))
    session.flush()
    return before


def _targets(session: Session, document: Document) -> list[int]:
    """Every node at which the document stands, waits to stand, or is to be put by work under way."""
    found = {document.node_id, document.pending_node_id, *(item.payload["target"] for item in _open(session, document))}
    return sorted(one for one in found if one is not None)


def _own(session: Session, document: Document, node: int) -> int:
    return take_own(session, document, session.get_one(AclNode, node)).id


def _follow(session: Session, document: Document, moved: dict[int, int]) -> None:
    for item in _open(session, document):
        item.payload = {**item.payload, "target": moved[item.payload["target"]]}


def _open(session: Session, document: Document) -> list[Item]:
    wanted = select(Item).where(Item.document_id == document.id, Item.state.in_(OPEN), Item.stage != "listed")
    return list(session.scalars(wanted))


def _placing(session: Session, document: Document, actor: str) -> Item:
    run = Run(
        public_id=public_id("run"),
        tenant_id=document.tenant_id,
        source_id=document.source_id,
        kind=ACCESS,
        trigger=actor,
        state="working",
        listed=1,
        listed_all=True,
        started_at=db_now(),
    )
    session.add(run)
    session.flush()
    return Item(
        public_id=public_id("itm"),
        tenant_id=document.tenant_id,
        run_id=run.id,
        source_id=document.source_id,
        document_id=document.id,
        external_id=document.external_id,
        state="pending",
        stage="place",
        payload={"target": document.node_id},
    )
