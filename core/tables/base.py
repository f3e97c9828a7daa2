"""What every table shares: the declarative base, column types, and the tenant column."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Identity, Integer, MetaData, Table, event
from sqlalchemy.orm import DeclarativeBase, mapped_column

from core.clock import Instant

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

BigId = BigInteger().with_variant(Integer, "sqlite")

PrimaryKey = Annotated[int, mapped_column(BigId, Identity(), primary_key=True)]
TenantId = Annotated[int, mapped_column(BigId, ForeignKey("tenant.id"))]


class Base(DeclarativeBase):
    """Declarative base: instants for times, JSON for documents, wide integers for ids."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy
        datetime: Instant(),
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        int: BigId,
    }


@event.listens_for(Table, "after_parent_attach")
def _never_reuse_ids(table: Table, metadata: MetaData) -> None:
    """SQLite reuses the id of a deleted last row unless told not to; a migration's tables say it themselves."""
    if metadata is not Base.metadata:
        return
    table.dialect_options["sqlite"]["autoincrement"] = len(table.primary_key.columns) == 1 and any(
        column.identity is not None for column in table.primary_key.columns
    )
