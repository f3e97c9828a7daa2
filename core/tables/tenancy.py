"""Tenants and their policy epoch."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index
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


class EpochTime(Base):
    """When an epoch began: the database's clock in the transaction that raised it, shortly before its commit."""

    __tablename__ = "epoch_time"
    __table_args__ = (Index(None, "tenant_id", "at"),)

    tenant_id: Mapped[int] = mapped_column(BigId, ForeignKey("tenant.id"), primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(default=db_now())
