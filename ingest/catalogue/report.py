"""Figures by source over the documents that somebody may know of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.orm import Session

from core.tables import Document, DocumentFinding, DocumentProfile, DocumentVersion, Source
from policies.labels import CLASSIFICATION, effective

UNKNOWN = "unknown"
OWNER_LABELS = ("owner", "owners")
MOST_OWNERS = 20
"""Owners shown of a source, those of most documents first."""


@dataclass(slots=True)
class Asset:
    """One source as a data asset.

    Attributes:
        bytes: of the documents as they are at the source.
        looked_at: documents whose text the catalogue has seen; what it says of copies and personal data is of these.
        copies: documents whose words another one has too.
        near_copies: documents nearly alike to one with other words.
        stale: last changed before the time asked for; `undated`: unknown when.
        personal: by kind, documents that hold some, and different values summed over them.
    """

    source: str
    connector: str
    state: str
    content_synced_at: datetime | None
    access_synced_at: datetime | None
    documents: int = 0
    bytes: int = 0
    chunks: int = 0
    tokens: int = 0
    looked_at: int = 0
    copies: int = 0
    near_copies: int = 0
    stale: int = 0
    undated: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    languages: dict[str, int] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    classifications: dict[str, int] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)
    personal: dict[str, dict[str, int]] = field(default_factory=dict)


def current_documents(tenant: int) -> Select[Any]:
    """The statement for every document of a tenant that answers may come from."""
    return select(Document).where(
        Document.tenant_id == tenant, Document.state == "live", Document.version_id.is_not(None)
    )


def assets(session: Session, tenant: int, known: Select[Any], *, stale_before: datetime) -> list[Asset]:
    """The sources of the documents that `known` selects, by key; nothing else is counted."""
    documents = known.with_only_columns(Document.id, Document.source_id, Document.node_id, Document.version_id).cte(
        "known"
    )
    found = _sizes(session, documents, stale_before)
    for name, column in (("languages", DocumentVersion.language), ("types", DocumentVersion.mime)):
        for source, value, count in _by(session, documents, column):
            getattr(found[source], name)[value or UNKNOWN] = count
    _add_labels(session, tenant, documents, found)
    _add_findings(session, documents, found)
    _add_copies(session, documents, found)
    return sorted(found.values(), key=lambda one: one.source)


def _sizes(session: Session, documents: Any, stale_before: datetime) -> dict[int, Asset]:
    version, profile = DocumentVersion, DocumentProfile
    rows = session.execute(
        select(
            documents.c.source_id,
            func.count().label("documents"),
            func.sum(version.size).label("bytes"),
            func.sum(func.coalesce(profile.chunks, 0)).label("chunks"),
            func.sum(func.coalesce(profile.tokens, 0)).label("tokens"),
            func.count(profile.document_id).label("looked_at"),
            func.sum(case((version.modified_at < stale_before, 1), else_=0)).label("stale"),
            func.sum(case((version.modified_at.is_(None), 1), else_=0)).label("undated"),
            func.min(version.modified_at).label("oldest"),
            func.max(version.modified_at).label("newest"),
        )
        .join(version, version.id == documents.c.version_id)
        .outerjoin(profile, profile.document_id == documents.c.id)
        .group_by(documents.c.source_id)
    ).mappings()
    figures = {row["source_id"]: {name: row[name] for name in row if name != "source_id"} for row in rows}
    sources = session.scalars(select(Source).where(Source.id.in_(list(figures))))
    return {one.id: _asset(one, figures[one.id]) for one in sources}


def _asset(source: Source, figures: Mapping[str, Any]) -> Asset:
    numbers: dict[str, Any] = {
        name: value if name in ("oldest", "newest") else int(value) for name, value in figures.items()
    }
    return Asset(
        source=source.key,
        connector=source.connector,
        state=source.state,
        content_synced_at=source.content_synced_at,
        access_synced_at=source.access_synced_at,
        **numbers,
    )


def _by(session: Session, documents: Any, column: Any) -> Iterable[tuple[int, str | None, int]]:
    statement = (
        select(documents.c.source_id, column, func.count())
        .join(DocumentVersion, DocumentVersion.id == documents.c.version_id)
        .group_by(documents.c.source_id, column)
        .order_by(func.count().desc(), column)
    )
    return [(source, value, count) for source, value, count in session.execute(statement)]


def _add_labels(session: Session, tenant: int, documents: Any, found: Mapping[int, Asset]) -> None:
    """Classifications and owners: labels hold at nodes, which are few; where no label names an owner, the author is."""
    rows = session.execute(
        select(documents.c.source_id, documents.c.node_id, DocumentVersion.author, func.count())
        .join(DocumentVersion, DocumentVersion.id == documents.c.version_id)
        .group_by(documents.c.source_id, documents.c.node_id, DocumentVersion.author)
    ).all()
    labels = effective(session, tenant, {node for _, node, _, _ in rows})
    classes: dict[int, Counter[str]] = defaultdict(Counter)
    people: dict[int, Counter[str]] = defaultdict(Counter)
    for source, node, author, count in rows:
        at = labels.get(node, {})
        classes[source][at.get(CLASSIFICATION, UNKNOWN)] += count
        people[source].update(dict.fromkeys(owners(at, author), count))
    for source, asset in found.items():
        asset.classifications = dict(classes[source].most_common())
        asset.owners = dict(people[source].most_common(MOST_OWNERS))


def owners(labels: Mapping[str, str], author: str | None) -> list[str]:
    """Who looks after a document: the label `owner` or `owners` (separated by spaces), else its author."""
    named = " ".join(labels[name] for name in OWNER_LABELS if name in labels).split()
    return named or ([author] if author else [])


def _add_findings(session: Session, documents: Any, found: Mapping[int, Asset]) -> None:
    rows = session.execute(
        select(documents.c.source_id, DocumentFinding.kind, func.count(), func.sum(DocumentFinding.count))
        .join(DocumentFinding, DocumentFinding.document_id == documents.c.id)
        .group_by(documents.c.source_id, DocumentFinding.kind)
        .order_by(DocumentFinding.kind)
    )
    for source, kind, count, values in rows:
        found[source].personal[kind] = {"documents": count, "values": int(values)}


def _add_copies(session: Session, documents: Any, found: Mapping[int, Asset]) -> None:
    for name, condition in (("copies", copied(documents)), ("near_copies", nearly_copied(documents))):
        rows = session.execute(
            select(documents.c.source_id, func.count())
            .join(DocumentProfile, DocumentProfile.document_id == documents.c.id)
            .where(condition)
            .group_by(documents.c.source_id)
        )
        for source, count in rows:
            setattr(found[source], name, count)


def copied(documents: Any) -> ColumnElement[bool]:
    """Profiles whose words another of `documents` has too."""
    return DocumentProfile.text_hash.in_(_shared(documents, DocumentProfile.text_hash, func.count()))


def nearly_copied(documents: Any) -> ColumnElement[bool]:
    """Profiles nearly alike to another of `documents` that has other words."""
    different = func.count(DocumentProfile.text_hash.distinct())
    return DocumentProfile.near_group.in_(_shared(documents, DocumentProfile.near_group, different))


def _shared(documents: Any, column: Any, count: Any) -> Select[Any]:
    return (
        select(column)
        .join(documents, documents.c.id == DocumentProfile.document_id)
        .where(column.is_not(None))
        .group_by(column)
        .having(count > 1)
    )


def classified(session: Session, tenant: int, nodes: Sequence[int], classification: str) -> list[int]:
    """Those of the nodes at which that classification holds."""
    labels = effective(session, tenant, nodes)
    return sorted(node for node, held in labels.items() if held[CLASSIFICATION] == classification)


def owned(session: Session, tenant: int, nodes: Sequence[int], owner: str) -> tuple[list[int], list[int]]:
    """Nodes whose labels name that owner, and nodes whose labels name nobody, where a document's author counts."""
    labels = effective(session, tenant, nodes)
    named = {node: owners(held, None) for node, held in labels.items()}
    return sorted(one for one in named if owner in named[one]), sorted(one for one in named if not named[one])
