"""The append-only record of who was shown what and who changed what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from core.tables.base import Base, PrimaryKey, TenantId

_UNCHAINED, _CHAINED = text("seq IS NULL"), text("seq IS NOT NULL")


class AuditEntry(Base):
    """One event. `mac` proves the entry; `chain` binds it to the one of the `seq` before, filled in batches.

    Where an erasure struck names out of it, `redaction` proves what is left, and `mac` holds its place in the chain.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index(None, "tenant_id", "id"),
        Index("ix_audit_entry_waiting", "tenant_id", "id", sqlite_where=_UNCHAINED, postgresql_where=_UNCHAINED),
        Index("uq_audit_entry_seq", "tenant_id", "seq", unique=True, sqlite_where=_CHAINED, postgresql_where=_CHAINED),
    )

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    at: Mapped[datetime]
    kind: Mapped[str]
    actor: Mapped[str]
    body: Mapped[dict[str, Any]]
    request: Mapped[str | None]
    """Id of the HTTP request that it belongs to, as in `X-Request-Id`."""
    mac: Mapped[bytes] = mapped_column(LargeBinary)
    seq: Mapped[int | None]
    """Place in the tenant's chain, from 1; None: not chained yet."""
    chain: Mapped[bytes | None] = mapped_column(LargeBinary)
    redaction: Mapped[bytes | None] = mapped_column(LargeBinary)
