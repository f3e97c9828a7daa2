"""Registered sources and declared objects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import db_now
from core.tables.base import Base, PrimaryKey, TenantId


class Source(Base):
    """A place documents come from, with its registration and where its last crawls stand."""

    __tablename__ = "source"
    __table_args__ = (UniqueConstraint("tenant_id", "key"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    key: Mapped[str]
    connector: Mapped[str]
    config: Mapped[dict[str, Any]]
    base: Mapped[str] = mapped_column(default=".")
    """Folder that relative paths of `config` are relative to."""
    access: Mapped[dict[str, Any]] = mapped_column(default=dict)
    schedule: Mapped[dict[str, Any]] = mapped_column(default=dict)
    max_access_age_s: Mapped[int | None]
    state: Mapped[str] = mapped_column(default="active")
    """active, paused or deleted."""
    priority: Mapped[int] = mapped_column(default=0)
    cursor: Mapped[dict[str, Any] | None]
    access_cursor: Mapped[dict[str, Any] | None]
    """Where the last complete crawl of access data alone ended."""
    structure: Mapped[str | None]
    """How its texts were split by the last whole listing; where that changed, every object is read again."""
    content_synced_at: Mapped[datetime | None]
    access_synced_at: Mapped[datetime | None]
    """Start of the last complete crawl of access data."""
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    epoch_from: Mapped[int]


class ConfigObject(Base):
    """A declared Model, Route or Budget, as it was written."""

    __tablename__ = "config_object"
    __table_args__ = (UniqueConstraint("tenant_id", "kind", "key"), Index(None, "tenant_id", "kind"))

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    kind: Mapped[str]
    key: Mapped[str]
    body: Mapped[dict[str, Any]]
    revision: Mapped[int] = mapped_column(default=1)


class StoredSecret(Base):
    """A secret value under the installation's Fernet keys; write-only."""

    __tablename__ = "secret"
    __table_args__ = (UniqueConstraint("tenant_id", "key"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    key: Mapped[str]
    sealed: Mapped[str]
