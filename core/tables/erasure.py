"""What is to leave no trace, the proof that it left none, and what must not come back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import db_now
from core.jobs import Leased
from core.tables.base import Base, BigId, PrimaryKey, TenantId


class Erasure(Leased, Base):
    """One document, source or person that is erased.

    `state` is erasing, proven (a scan found nothing) or left (it found what somebody must change by hand).
    """

    __tablename__ = "erasure"

    id: Mapped[PrimaryKey]
    public_id: Mapped[str] = mapped_column(unique=True)
    tenant_id: Mapped[TenantId]
    kind: Mapped[str]
    """document, source or person."""
    subject_id: Mapped[int]
    """Id of the row that went."""
    target: Mapped[str]
    """What people are told it was: a document's public id, a source's key; of a person what stands in their stead."""
    names: Mapped[str]
    """What it was called, sealed under the installation's keys; empty once that is found nowhere."""
    asked_by: Mapped[str]
    reason: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    ended_at: Mapped[datetime | None]
    garbage_until: Mapped[int | None]
    """Id of the newest point that waited to be removed from the index when the rows were gone; null: they are not."""
    done: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """How many rows went and values were struck, by table and by column."""
    proof: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What the scan looked at and found."""


class ErasedObject(Base):
    """An object of a source that was erased and is passed over when its source lists it; known by a keyed digest."""

    __tablename__ = "erased_object"
    __table_args__ = (UniqueConstraint("source_id", "digest"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    source_id: Mapped[int] = mapped_column(BigId)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=db_now())
