"""What a search is restricted to, worked out once from scope and filters; each engine only translates it.

An empty filter means "everything" to the engines, so none can be expressed here: a restriction always names the tenant
and at least one source, no list of values is empty, and what nothing can match is no restriction at all but None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embed.index.base import Filters

if TYPE_CHECKING:
    from policies.scope import ReadScope


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The payload's `key` is, or contains, one of `values`."""

    key: str
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"a restriction on {self.key} without values")


@dataclass(frozen=True, slots=True)
class Within:
    """`low` <= the payload's `key` < `high`; None: no upper bound."""

    key: str
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Restriction:
    """All of `must` holds and none of `must_not`; `must` is never empty."""

    tenant: int
    must: tuple[AnyOf | Within, ...]
    must_not: tuple[AnyOf, ...] = ()

    def __post_init__(self) -> None:
        if {"tenant", "source"} - {clause.key for clause in self.must}:
            raise ValueError("a restriction without tenant and source")


def tenant_clause(tenant: int) -> AnyOf:
    """Points of one tenant."""
    return AnyOf("tenant", (tenant,))


def restrict(scope: ReadScope, filters: Filters) -> Restriction | None:
    """The restriction of a search, or None where nothing can match and no engine is to be asked."""
    sources = _sources(scope, filters)
    if scope.empty or not sources or not all(filters.facets) or filters.nodes == () or _no_time(filters):
        return None
    must: list[AnyOf | Within] = [tenant_clause(scope.tenant), AnyOf("source", sources)]
    must_not: tuple[AnyOf, ...] = ()
    if not scope.complement:
        must.append(AnyOf("acl", scope.nodes))
    elif scope.nodes:
        must_not = (AnyOf("acl", scope.nodes),)
    if filters.nodes is not None:
        must.append(AnyOf("acl", filters.nodes))
    must += [AnyOf("facets", group) for group in filters.facets]
    must += _time(filters)
    return Restriction(scope.tenant, tuple(must), must_not)


def _sources(scope: ReadScope, filters: Filters) -> tuple[int, ...]:
    if filters.sources is None:
        return scope.sources
    return tuple(sorted(set(scope.sources) & set(filters.sources)))


def _no_time(filters: Filters) -> bool:
    low, high = filters.modified_from, filters.modified_until
    return high is not None and high <= max(low or 0, 1)


def _time(filters: Filters) -> list[Within]:
    """A time that is unknown (0) lies within no bounds."""
    if filters.modified_from is None and filters.modified_until is None:
        return []
    return [Within("modified", max(filters.modified_from or 0, 1), filters.modified_until)]
