"""Runs and their items: the work that stands in rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import db_now
from core.jobs import Leased
from core.tables.base import Base, BigId, PrimaryKey, TenantId


class Run(Leased, Base):
    """One sync of one source, from listing to the last item."""

    __tablename__ = "run"
    __table_args__ = (Index(None, "state", "not_before"), Index(None, "source_id", "id"))

    id: Mapped[PrimaryKey]
    public_id: Mapped[str] = mapped_column(unique=True)
    tenant_id: Mapped[TenantId]
    source_id: Mapped[int]
    kind: Mapped[str]
    """content (what changed), deletions (a whole listing), permissions (access data alone), push (documents sent over
    the API) or access (points that follow what an admin stated)."""
    trigger: Mapped[str] = mapped_column(default="manual")
    checkpoint: Mapped[dict[str, Any] | None]
    listed: Mapped[int] = mapped_column(default=0)
    unchanged: Mapped[int] = mapped_column(default=0)
    deleted: Mapped[int] = mapped_column(default=0)
    listed_all: Mapped[bool] = mapped_column(default=False)
    access_failed: Mapped[bool] = mapped_column(default=False)
    widened: Mapped[int] = mapped_column(default=0)
    """Documents that people could read who could not before, were all of it applied."""
    held_for: Mapped[str | None]
    """What waits for approval: deletion, widening, or `deletion and widening`."""
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class Item(Leased, Base):
    """One changed object of a run on its way through the stages."""

    __tablename__ = "item"
    __table_args__ = (
        UniqueConstraint("run_id", "external_id", "stage"),
        Index(None, "state", "stage", "not_before"),
        Index(None, "document_id"),
    )

    id: Mapped[PrimaryKey]
    public_id: Mapped[str] = mapped_column(unique=True)
    tenant_id: Mapped[TenantId]
    run_id: Mapped[int] = mapped_column(BigId)
    source_id: Mapped[int]
    document_id: Mapped[int | None]
    external_id: Mapped[str]
    stage: Mapped[str] = mapped_column(default="parse")
    """parse (fetch, parse, split), encode (encode, index, commit), place (move points), listed (no work: a problem)."""
    payload: Mapped[dict[str, Any]]
    """The connector's item, as listed."""
    version_id: Mapped[int | None]
    """The version this item builds."""
    widens: Mapped[bool] = mapped_column(default=False)
    """It may show a document to more people: not before the whole listing was judged."""
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    note: Mapped[str | None]


class IdempotencyKey(Base):
    """The answer given to a write that named this key, to be given again."""

    __tablename__ = "idempotency_key"
    __table_args__ = (UniqueConstraint("tenant_id", "app_id", "key"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    app_id: Mapped[int]
    key: Mapped[str]
    request_hash: Mapped[str]
    status: Mapped[int]
    response: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=db_now())
