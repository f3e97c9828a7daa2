"""Access nodes, their entries and labels, rules, and what each of them was before."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from core.tables.base import Base, BigId, PrimaryKey, TenantId
from core.tables.directory import OPEN

_BEGINS = text("epoch_to IS NULL AND not_before IS NOT NULL")
_OWN = text("document_id IS NOT NULL")
_ENDS = text("epoch_to IS NULL AND expires_at IS NOT NULL")
_CLOSED = text("closed")
_NARROW = text("mode = 'narrow'")


class AclNode(Base):
    """A place with permissions or labels of its own.

    `mode` is inherit, break or narrow. A `closed` node's access could not be read: nothing below it is readable,
    breaks included. `pending` is what a sync wants it to be, held back while that would widen access.
    """

    __tablename__ = "acl_node"
    __table_args__ = (
        UniqueConstraint("source_id", "key"),
        Index("ix_acl_node_document", "document_id", sqlite_where=_OWN, postgresql_where=_OWN),
        Index("ix_acl_node_below", "tenant_id", "parent_id", "mode"),
        Index("ix_acl_node_closed", "tenant_id", sqlite_where=_CLOSED, postgresql_where=_CLOSED),
        Index("ix_acl_node_narrow", "tenant_id", "mode", "parent_id", sqlite_where=_NARROW, postgresql_where=_NARROW),
    )

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    source_id: Mapped[int]
    key: Mapped[str]
    """The container's id at the source, or `=` and a digest for a node of single documents."""
    document_id: Mapped[int | None]
    """The one document that may stand here, where an admin stated something for it alone; null: whoever shares it."""
    title: Mapped[str] = mapped_column(default="")
    parent_id: Mapped[int | None]
    mode: Mapped[str] = mapped_column(default="inherit")
    closed: Mapped[bool] = mapped_column(default=False)
    access_hash: Mapped[str] = mapped_column(default="")
    """Digest of the access its source last stated for it."""
    pending: Mapped[dict[str, Any] | None]
    pending_run_id: Mapped[int | None]
    """The newest run that stated `pending`; only the end of a content run that is not older applies it."""
    epoch_from: Mapped[int]


class Ace(Base):
    """An entry: one principal allowed or denied at one node; closed by `epoch_to`, never deleted."""

    __tablename__ = "ace"
    __table_args__ = (
        Index("ix_ace_node_open", "node_id", sqlite_where=OPEN, postgresql_where=OPEN),
        Index("ix_ace_principal_open", "principal_id", "effect", sqlite_where=OPEN, postgresql_where=OPEN),
        Index("ix_ace_begins_open", "tenant_id", "not_before", sqlite_where=_BEGINS, postgresql_where=_BEGINS),
        Index("ix_ace_ends_open", "tenant_id", "expires_at", sqlite_where=_ENDS, postgresql_where=_ENDS),
    )

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    node_id: Mapped[int]
    principal_id: Mapped[int]
    effect: Mapped[str]
    origin: Mapped[str]
    """`source` or `admin`; a sync replaces only its own."""
    app_id: Mapped[int | None]
    """Principal id of the app through which alone the entry holds."""
    not_before: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    waived: Mapped[bool] = mapped_column(default=False)
    """An admin let an unresolved deny stand open."""
    epoch_from: Mapped[int]
    epoch_to: Mapped[int | None]


class Label(Base):
    """A classification or free attribute stated at a node; closed by `epoch_to`, never deleted."""

    __tablename__ = "label"
    __table_args__ = (Index("ix_label_node_open", "tenant_id", "node_id", sqlite_where=OPEN, postgresql_where=OPEN),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    node_id: Mapped[int]
    name: Mapped[str]
    value: Mapped[str]
    origin: Mapped[str]
    epoch_from: Mapped[int]
    epoch_to: Mapped[int | None]


class Policy(Base):
    """An admin's rule in CEL, `permit` or `forbid`; closed by `epoch_to`, never deleted.

    One that is not `enforced` decides nothing; what it would do is counted.
    """

    __tablename__ = "policy"
    __table_args__ = (
        Index("uq_policy_open", "tenant_id", "key", unique=True, sqlite_where=OPEN, postgresql_where=OPEN),
    )

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    key: Mapped[str]
    effect: Mapped[str]
    condition: Mapped[str]
    enforced: Mapped[bool] = mapped_column(default=False)
    epoch_from: Mapped[int]
    epoch_to: Mapped[int | None]


class PolicyCount(Base):
    """What a rule would have done while it was report-only; no input of a decision."""

    __tablename__ = "policy_count"

    policy_id: Mapped[int] = mapped_column(BigId, ForeignKey("policy.id"), primary_key=True, autoincrement=False)
    tenant_id: Mapped[TenantId]
    queries: Mapped[int] = mapped_column(default=0)
    documents: Mapped[int] = mapped_column(default=0)
    places: Mapped[int] = mapped_column(default=0)
    last_at: Mapped[datetime | None]


class StateHistory(Base):
    """What a user, node, document, app or source was, for decisions, in `[epoch_from, epoch_to)`."""

    __tablename__ = "state_history"
    __table_args__ = (Index(None, "tenant_id", "kind", "subject_id", "epoch_from"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    kind: Mapped[str]
    subject_id: Mapped[int]
    state: Mapped[dict[str, Any]]
    epoch_from: Mapped[int]
    epoch_to: Mapped[int]
