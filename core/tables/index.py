"""Generations, the points known to be in each, and interned facets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import db_now
from core.jobs import Leased
from core.tables.base import Base, BigId, PrimaryKey, TenantId


class Generation(Base):
    """One encoder with its dimension and sparse parameters, and one collection. Exactly one is `live`."""

    __tablename__ = "generation"

    id: Mapped[PrimaryKey]
    encoder: Mapped[str]
    """The encoder's name."""
    model: Mapped[str | None]
    """How the encoder is found, a name or a folder; null: by its name."""
    dimension: Mapped[int]
    sparse: Mapped[dict[str, Any]]
    collection: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(default="building")
    """building (made or caught up), judged (the same, and to be measured first), live, retired, or dropping."""
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    retired_at: Mapped[datetime | None]


class GenerationReference(Base):
    """Where the encoder that made a generation puts known sentences, for those that join it later."""

    __tablename__ = "generation_reference"

    generation_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("generation.id"), primary_key=True, autoincrement=False
    )
    vectors: Mapped[bytes]
    """Of shape (sentences, dimension), float32, the lowest byte first; of `embed.encoders.verify.sentences`."""


class ChunkPoint(Base):
    """A chunk whose point the index has acknowledged."""

    __tablename__ = "chunk_point"
    __table_args__ = (Index(None, "chunk_id"),)

    generation_id: Mapped[int] = mapped_column(BigId, ForeignKey("generation.id"), primary_key=True)
    chunk_id: Mapped[int] = mapped_column(BigId, ForeignKey("chunk.id"), primary_key=True)


class Facet(Base):
    """A value callers filter by, interned so that the index holds an integer."""

    __tablename__ = "facet"
    __table_args__ = (UniqueConstraint("tenant_id", "name", "value"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    name: Mapped[str]
    value: Mapped[str]


class PointGarbage(Leased, Base):
    """A point that no version needs any more, until the index has removed it.

    `state` is pending or deleting; a point that is wanted again is taken off this list before it is written.
    """

    __tablename__ = "point_garbage"
    __table_args__ = (UniqueConstraint("generation_id", "point_id"),)

    id: Mapped[PrimaryKey]
    generation_id: Mapped[int] = mapped_column(BigId, ForeignKey("generation.id"))
    point_id: Mapped[str]
