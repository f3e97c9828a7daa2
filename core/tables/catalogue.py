"""What the catalogue knows of documents beside their text: figures and fingerprints, never a value found in them."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.tables.base import Base, BigId, TenantId


class DocumentProfile(Base):
    """Figures of the version of a document that readers see; it goes with that version."""

    __tablename__ = "document_profile"
    __table_args__ = (Index(None, "tenant_id", "text_hash"), Index(None, "near_group"))

    document_id: Mapped[int] = mapped_column(BigId, ForeignKey("document.id"), primary_key=True)
    tenant_id: Mapped[TenantId]
    version_id: Mapped[int]
    chunks: Mapped[int]
    tokens: Mapped[int]
    text_hash: Mapped[str]
    """Of the words alone: equal for documents that differ in nothing but layout and case."""
    signature: Mapped[bytes | None]
    """MinHash of the text, 128 numbers of 32 bits, big-endian; null where there are too few words to compare."""
    near_group: Mapped[int | None]
    """Number shared by documents that are nearly alike: the id of whichever began the group, which may be gone."""


class DocumentBand(Base):
    """One band of a signature: documents that share one are candidates for being nearly alike."""

    __tablename__ = "document_band"
    __table_args__ = (Index(None, "tenant_id", "band"),)

    document_id: Mapped[int] = mapped_column(BigId, ForeignKey("document.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[TenantId]
    band: Mapped[int]


class DocumentFinding(Base):
    """How many pieces of personal data of a kind a document's text holds; never the data."""

    __tablename__ = "document_finding"
    __table_args__ = (Index(None, "kind"),)

    document_id: Mapped[int] = mapped_column(BigId, ForeignKey("document.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[TenantId]
    count: Mapped[int]
