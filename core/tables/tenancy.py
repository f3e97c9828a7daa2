"""Tenants and their policy epoch."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import db_now
from core.tables.base import Base, BigId, PrimaryKey

DEFAULT_CLASSIFICATIONS = ("public", "internal", "confidential", "restricted")


class Tenant(Base):
    """One customer or division; nothing crosses it."""

    __tablename__ = "tenant"

    id: Mapped[PrimaryKey]
    key: Mapped[str] = mapped_column(unique=True)
    classifications: Mapped[list[str]] = mapped_column(default=lambda: list(DEFAULT_CLASSIFICATIONS))
    created_at: Mapped[datetime] = mapped_column(default=db_now())


class PolicyEpoch(Base):
    """Grows in the transaction of every change to an input of a decision."""

    __tablename__ = "policy_epoch"

    tenant_id: Mapped[int] = mapped_column(BigId, ForeignKey("tenant.id"), primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(default=1)
