"""A caller's filters, from names to the integers the index holds."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import InvalidError
from core.tables import Facet, Source
from embed.index.base import Filters
from policies.labelled import label_names, places_with
from retrieve.model import Narrowing

FIELDS = frozenset({"language", "author", "mime", "path"})
"""Facets that every source may have; attributes of a source are known by being there."""


def to_filters(session: Session, tenant: int, narrowing: Narrowing) -> Filters:
    """The filters of a search. A source or value nobody knows matches nothing, like one the caller may not see.

    Raises:
        InvalidError: no document of the tenant was ever described by such a field, no place has such a label, or the
            bounds leave no time between them.
    """
    _check(session, tenant, narrowing)
    _check_time(narrowing)
    return Filters(
        sources=_sources(session, tenant, narrowing),
        facets=tuple(_facets(session, tenant, name, list(values)) for name, values in narrowing.facets.items()),
        nodes=places_with(session, tenant, narrowing.labels) if narrowing.labels else None,
        modified_from=_seconds(narrowing.modified_from),
        modified_until=_seconds(narrowing.modified_until),
    )


def _check(session: Session, tenant: int, narrowing: Narrowing) -> None:
    unknown = [f"filters.facets.{one}" for one in _unknown_facets(session, tenant, set(narrowing.facets) - FIELDS)]
    if narrowing.labels:
        unknown += [f"filters.labels.{one}" for one in sorted(set(narrowing.labels) - label_names(session, tenant))]
    if unknown:
        raise InvalidError(
            "nothing can be filtered by a field of that name",
            errors=[{"field": one, "message": "no such field"} for one in unknown],
        )


def _check_time(narrowing: Narrowing) -> None:
    low, high = narrowing.modified_from, narrowing.modified_until
    if low is not None and high is not None and high <= low:
        told = [{"field": "filters.modified_until", "message": "must be later than modified_from"}]
        raise InvalidError("there is no time from modified_from until modified_until", errors=told)


def _unknown_facets(session: Session, tenant: int, asked: set[str]) -> list[str]:
    if not asked:
        return []
    statement = select(Facet.name).where(Facet.tenant_id == tenant, Facet.name.in_(sorted(asked))).distinct()
    return sorted(asked - set(session.scalars(statement)))


def _sources(session: Session, tenant: int, narrowing: Narrowing) -> tuple[int, ...] | None:
    if narrowing.sources is None:
        return None
    statement = select(Source.id).where(Source.tenant_id == tenant, Source.key.in_(list(narrowing.sources)))
    return tuple(sorted(session.scalars(statement)))


def _facets(session: Session, tenant: int, name: str, values: list[str]) -> tuple[int, ...]:
    """Ids of the values; a path is the same with and without the slashes around it."""
    if name == "path":
        values = [value.strip("/") for value in values]
    statement = select(Facet.id).where(Facet.tenant_id == tenant, Facet.name == name, Facet.value.in_(values))
    return tuple(sorted(session.scalars(statement)))


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
