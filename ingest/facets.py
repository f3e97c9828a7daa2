"""Facets: what callers filter by, interned so that the index holds integers."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import insert_new
from core.tables import DocumentVersion, Facet


def facet_values(version: DocumentVersion) -> Iterator[tuple[str, str]]:
    """Names and values of a version: language, author, type, each folder above it, and its plain attributes."""
    for name, value in (("language", version.language), ("author", version.author), ("mime", version.mime)):
        if value:
            yield name, value
    for name, value in version.attributes.items():
        if name == "path" and isinstance(value, str):
            parts = value.strip("/").split("/")
            yield from (("path", "/".join(parts[: end + 1])) for end in range(len(parts)))
        elif isinstance(value, (str, int, bool)) and len(str(value)) <= 200:
            yield name, str(value)


def facet_ids(session: Session, version: DocumentVersion, *, make: bool = True) -> tuple[int, ...]:
    """Interned ids of a version's facets, ascending; new values are interned unless `make` is false."""
    wanted = sorted(set(facet_values(version)))
    found = _load(session, version.tenant_id, wanted)
    missing = [pair for pair in wanted if pair not in found]
    if missing and make:
        rows = [{"tenant_id": version.tenant_id, "name": name, "value": value} for name, value in missing]
        insert_new(session, Facet, rows)
        found |= _load(session, version.tenant_id, missing)
    return tuple(sorted(found.values()))


def _load(session: Session, tenant: int, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    rows = session.execute(
        select(Facet.name, Facet.value, Facet.id).where(
            Facet.tenant_id == tenant, Facet.value.in_([value for _, value in pairs])
        )
    )
    return {(name, value): id_ for name, value, id_ in rows if (name, value) in set(pairs)}


def seconds(version: DocumentVersion) -> int:
    """The version's last change in whole seconds since 1970; 0: unknown."""
    return int(version.modified_at.timestamp()) if version.modified_at else 0
