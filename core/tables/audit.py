"""The append-only record of who was shown what and who changed what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from core.tables.base import Base, PrimaryKey, TenantId


class AuditEntry(Base):
    """One event. `mac` proves the entry; `chain` binds it to the one before, filled in batches."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    at: Mapped[datetime]
    kind: Mapped[str]
    actor: Mapped[str]
    body: Mapped[dict[str, Any]]
    mac: Mapped[bytes] = mapped_column(LargeBinary)
    chain: Mapped[bytes | None] = mapped_column(LargeBinary)
