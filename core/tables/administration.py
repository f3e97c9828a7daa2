"""Who may administer what, changes that wait for a second person, and access opened in an emergency."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import db_now
from core.tables.base import Base, PrimaryKey, TenantId
from core.tables.directory import OPEN


class AdminGrant(Base):
    """One principal allowed or denied some rights over some objects; closed by `epoch_to`, never deleted.

    The rows of one declared grant share its `key`.
    """

    __tablename__ = "admin_grant"
    __table_args__ = (
        Index("ix_admin_grant_open", "tenant_id", "principal_id", sqlite_where=OPEN, postgresql_where=OPEN),
    )

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    key: Mapped[str]
    principal_id: Mapped[int]
    effect: Mapped[str]
    origin: Mapped[str] = mapped_column(default="admin")
    rights: Mapped[list[str]]
    """As in `group.write`, `group.*`, `*`."""
    objects: Mapped[list[str]]
    """As in `group:engineering`, `group:*`, `*`."""
    app_id: Mapped[int | None]
    """Principal id of the app through which alone it holds."""
    not_before: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    epoch_from: Mapped[int]
    epoch_to: Mapped[int | None]


class Approval(Base):
    """A change of access that waits for a second person, with the effect that was shown."""

    __tablename__ = "approval"
    __table_args__ = (Index(None, "tenant_id", "state"),)

    id: Mapped[PrimaryKey]
    public_id: Mapped[str] = mapped_column(unique=True)
    tenant_id: Mapped[TenantId]
    operation: Mapped[str]
    request: Mapped[str]
    """The change itself, sealed under the installation's keys; empty once it is decided."""
    request_hash: Mapped[str]
    needs: Mapped[list[str]]
    """What the proposer had to be allowed, as `right object`."""
    summary: Mapped[str]
    effect: Mapped[dict[str, Any]]
    """Who would gain and lose what, as it was shown; empty of names once a person in it is erased."""
    digest: Mapped[str]
    proposer: Mapped[str]
    """Principal, or `local:<login>`."""
    hand: Mapped[str]
    """What proved the proposer: the app of the key, the token's person, or the login."""
    state: Mapped[str] = mapped_column(default="pending")
    """pending, approved, rejected, stale or expired."""
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    expires_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    note: Mapped[str] = mapped_column(default="")


class BreakGlass(Base):
    """Reading opened to one person in an emergency: by an admin's entries that end by themselves."""

    __tablename__ = "break_glass"
    __table_args__ = (Index(None, "tenant_id", "user_id", "ends_at"),)

    id: Mapped[PrimaryKey]
    public_id: Mapped[str] = mapped_column(unique=True)
    tenant_id: Mapped[TenantId]
    user_id: Mapped[int]
    user_key: Mapped[str]
    reason: Mapped[str]
    places: Mapped[list[str]]
    """`source:key of the place`."""
    entries: Mapped[dict[str, Any]]
    """Ids of the entries, under `ids`."""
    opened_by: Mapped[str]
    opened_at: Mapped[datetime] = mapped_column(default=db_now())
    ends_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]
