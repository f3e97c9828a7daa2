"""Documents, their versions, and the immutable chunks that versions are made of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import db_now
from core.tables.base import Base, BigId, PrimaryKey, TenantId

_OLD = text("state = 'old'")
_UNSEEN = text("state = 'current' AND profiled = 0")


class Document(Base):
    """One thing of a source that people read.

    It is readable where its node is and, while `pending_node_id` is set, where that node is too: so a narrowing holds
    at once and a widening waits for the content it was meant for.
    """

    __tablename__ = "document"
    __table_args__ = (
        UniqueConstraint("source_id", "external_id"),
        Index(None, "node_id"),
        Index(None, "source_id", "seen_run_id"),
    )

    id: Mapped[PrimaryKey]
    public_id: Mapped[str] = mapped_column(unique=True)
    tenant_id: Mapped[TenantId]
    source_id: Mapped[int]
    external_id: Mapped[str]
    node_id: Mapped[int]
    pending_node_id: Mapped[int | None]
    state: Mapped[str] = mapped_column(default="live")
    """live, held (hidden while a large deletion waits for approval) or deleted."""
    version_id: Mapped[int | None]
    """The version readers see; null before the first and after deletion."""
    source_version: Mapped[str | None]
    content_hash: Mapped[str | None]
    seen_run_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    deleted_at: Mapped[datetime | None]
    epoch_from: Mapped[int]


class DocumentVersion(Base):
    """What a document said at one time: staged while it is built, then current, then old, at last purged."""

    __tablename__ = "document_version"
    __table_args__ = (
        Index(None, "document_id"),
        Index("ix_document_version_old", "state", sqlite_where=_OLD, postgresql_where=_OLD),
        Index("ix_document_version_unseen", "id", sqlite_where=_UNSEEN, postgresql_where=_UNSEEN),
    )

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    document_id: Mapped[int] = mapped_column(BigId, ForeignKey("document.id"))
    state: Mapped[str] = mapped_column(default="staged")
    source_version: Mapped[str | None]
    content_hash: Mapped[str]
    title: Mapped[str]
    uri: Mapped[str]
    mime: Mapped[str]
    language: Mapped[str | None]
    author: Mapped[str | None]
    modified_at: Mapped[datetime | None]
    size: Mapped[int]
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    profiled: Mapped[int] = mapped_column(default=0)
    """1 once the catalogue has looked at it as a current version."""
    created_at: Mapped[datetime] = mapped_column(default=db_now())


class Chunk(Base):
    """A piece of a document's text, immutable. The encoder sees `context`, a blank line, then `text`."""

    __tablename__ = "chunk"
    __table_args__ = (UniqueConstraint("document_id", "hash", "ordinal"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    document_id: Mapped[int] = mapped_column(BigId, ForeignKey("document.id"))
    hash: Mapped[str]
    ordinal: Mapped[int]
    context: Mapped[str]
    text: Mapped[str]
    tokens: Mapped[int]


class VersionChunk(Base):
    """Which chunk stands where in a version, on which page, under which headings."""

    __tablename__ = "version_chunk"
    __table_args__ = (Index(None, "chunk_id"),)

    version_id: Mapped[int] = mapped_column(BigId, ForeignKey("document_version.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    chunk_id: Mapped[int] = mapped_column(BigId, ForeignKey("chunk.id"))
    page: Mapped[int | None]
    heading: Mapped[str] = mapped_column(default="")
    kind: Mapped[str] = mapped_column(default="text")


class Upload(Base):
    """Content pushed over the API, kept until its item is done."""

    __tablename__ = "upload"

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    source_id: Mapped[int]
    external_id: Mapped[str]
    body: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(default=db_now())
