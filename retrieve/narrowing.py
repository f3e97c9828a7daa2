"""A caller's filters, from names to the integers the index holds."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.tables import Facet, Source
from embed.index.base import Filters
from retrieve.model import Narrowing


def to_filters(session: Session, tenant: int, narrowing: Narrowing) -> Filters:
    """The filters of a search. A name nobody knows matches nothing, like one the caller may not see."""
    return Filters(
        sources=_sources(session, tenant, narrowing),
        facets=tuple(_facets(session, tenant, name, list(values)) for name, values in narrowing.facets.items()),
        modified_from=_seconds(narrowing.modified_from),
        modified_until=_seconds(narrowing.modified_until),
    )


def _sources(session: Session, tenant: int, narrowing: Narrowing) -> tuple[int, ...] | None:
    if narrowing.sources is None:
        return None
    statement = select(Source.id).where(Source.tenant_id == tenant, Source.key.in_(list(narrowing.sources)))
    return tuple(sorted(session.scalars(statement)))


def _facets(session: Session, tenant: int, name: str, values: list[str]) -> tuple[int, ...]:
    statement = select(Facet.id).where(Facet.tenant_id == tenant, Facet.name == name, Facet.value.in_(values))
    return tuple(sorted(session.scalars(statement)))


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
