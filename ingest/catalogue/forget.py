"""Which versions the catalogue has yet to look at, and letting go of what it knows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from core.tables import DocumentBand, DocumentFinding, DocumentProfile, DocumentVersion


def unseen_versions() -> Select[int]:
    """The statement for current versions that have not been looked at."""
    return select(DocumentVersion.id).where(DocumentVersion.state == "current", DocumentVersion.profiled == 0)


def forget_profiles(session: Session, documents: Sequence[int]) -> None:
    """Removes all that the catalogue knows of documents, in the transaction that deletes them."""
    for table in (DocumentBand, DocumentFinding, DocumentProfile):
        session.execute(delete(table).where(table.document_id.in_(documents)))


def look_again(session: Session, tenant: int) -> int:
    """Has every current version of a tenant looked at once more; how many those are."""
    seen = (
        DocumentVersion.tenant_id == tenant,
        DocumentVersion.state == "current",
        DocumentVersion.profiled != 0,
    )
    ids = session.scalars(select(DocumentVersion.id).where(*seen)).all()
    session.execute(update(DocumentVersion).where(*seen).values(profiled=0))
    return len(ids)
