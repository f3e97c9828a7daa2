"""The catalogue as one caller may know of it: an admin of all documents, a person of those they may read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from api.paging import page
from api.schemas.base import Page
from api.schemas.catalogue import AssetView, CatalogueDocumentView
from api.sources import readable_documents
from core.db import now
from core.tables import Document, DocumentFinding, DocumentProfile, DocumentVersion, Source
from ingest.catalogue.choose import Wanted, chosen
from ingest.catalogue.report import assets, current_documents, owners
from policies.decide import decide
from policies.labels import CLASSIFICATION, effective
from policies.subject import Caller, resolve_subject

STALE_DAYS = 365
MOST_ALIKE = 10
_MOST_RELATED = 5000

Admit = Callable[[Sequence[int]], set[int]]


def known_to(session: Session, tenant: int, viewer: Caller | None) -> tuple[Select[Any], Admit]:
    """The statement for documents that the caller may know of, and who of some documents passes the last check.

    An admin (None) knows of every document and of no text; for a person the statement finds candidates, and `decide`
    is the authority.
    """
    if viewer is None:
        return current_documents(tenant), set
    subject = resolve_subject(session, viewer)

    def admit(ids: Sequence[int]) -> set[int]:
        verdicts = decide(session, subject, ids)
        return {one for one in ids if verdicts[one].allowed}

    return readable_documents(subject, session), admit


def stale_before(session: Session, days: int) -> datetime:
    """What was last changed before this time counts as stale."""
    return now(session) - timedelta(days=days)


def overview(session: Session, tenant: int, viewer: Caller | None, *, stale_days: int = STALE_DAYS) -> list[AssetView]:
    """Figures of each source."""
    known, _ = known_to(session, tenant, viewer)
    found = assets(session, tenant, known, stale_before=stale_before(session, stale_days))
    return [AssetView.model_validate(asdict(one)) for one in found]


def listing(
    session: Session, tenant: int, viewer: Caller | None, wanted: Wanted, *, limit: int, cursor: str | None
) -> Page[CatalogueDocumentView]:
    """A page of documents with what the catalogue knows of each."""
    known, admit = known_to(session, tenant, viewer)
    rows, following = page(session, chosen(session, tenant, known, wanted), Document.id, limit=limit, cursor=cursor)
    kept = admit([row.id for row in rows])
    shown = [row for row in rows if row.id in kept]
    return Page(data=_views(session, tenant, shown, known, admit), next_cursor=following)


def _views(
    session: Session, tenant: int, rows: Sequence[Document], known: Select[Any], admit: Admit
) -> list[CatalogueDocumentView]:
    ids = [row.id for row in rows]
    versions = _by_document(session, DocumentVersion, DocumentVersion.id.in_([row.version_id for row in rows]))
    profiles = _by_document(session, DocumentProfile, DocumentProfile.document_id.in_(ids))
    sources = {one.id: one.key for one in session.scalars(select(Source).where(Source.tenant_id == tenant))}
    labels = effective(session, tenant, {row.node_id for row in rows})
    findings = _findings(session, ids)
    alike = _alike(session, list(profiles.values()), known, admit)
    return [
        _view(row, versions[row.id], profiles.get(row.id), sources[row.source_id], labels.get(row.node_id, {}))
        .model_copy(update={"personal": findings[row.id], **alike.get(row.id, {})})
        for row in rows
        if row.id in versions
    ]  # fmt: skip


def _view(
    row: Document, version: DocumentVersion, profile: DocumentProfile | None, source: str, labels: dict[str, str]
) -> CatalogueDocumentView:
    return CatalogueDocumentView(
        id=row.public_id,
        source=source,
        external_id=row.external_id,
        title=version.title,
        uri=version.uri,
        mime=version.mime,
        language=version.language,
        bytes=version.size,
        chunks=profile.chunks if profile else None,
        tokens=profile.tokens if profile else None,
        modified_at=version.modified_at,
        classification=labels.get(CLASSIFICATION, ""),
        owners=owners(labels, version.author),
        personal={},
        copies=[],
        near_copies=[],
    )


def _by_document(session: Session, table: Any, condition: Any) -> dict[int, Any]:
    return {row.document_id: row for row in session.scalars(select(table).where(condition))}


def _findings(session: Session, ids: Sequence[int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = defaultdict(dict)
    rows = session.scalars(
        select(DocumentFinding).where(DocumentFinding.document_id.in_(ids)).order_by(DocumentFinding.kind)
    )
    for row in rows:
        found[row.document_id][row.kind] = row.count
    return found


def _alike(
    session: Session, profiles: Sequence[DocumentProfile], known: Select[Any], admit: Admit
) -> dict[int, dict[str, list[str]]]:
    """Public ids of the documents alike to each, of those that the caller may know of."""
    hashes = {one.text_hash for one in profiles}
    groups = {one.near_group for one in profiles if one.near_group is not None}
    related = session.execute(
        known.with_only_columns(Document.id, Document.public_id, DocumentProfile.text_hash, DocumentProfile.near_group)
        .join(DocumentProfile, DocumentProfile.document_id == Document.id)
        .where(or_(DocumentProfile.text_hash.in_(hashes), DocumentProfile.near_group.in_(groups)))
        .order_by(Document.id)
        .limit(_MOST_RELATED)
    ).all()
    allowed = admit([one.id for one in related])
    by_hash, by_group = defaultdict(list), defaultdict(list)
    for one in related:
        if one.id in allowed:
            by_hash[one.text_hash].append(one)
            by_group[one.near_group].append(one)
    return {
        mine.document_id: {
            "copies": _names(mine, by_hash[mine.text_hash]),
            "near_copies": _names(
                mine,
                [one for one in by_group[mine.near_group] if one.text_hash != mine.text_hash]
                if mine.near_group is not None
                else [],
            ),
        }
        for mine in profiles
    }


def _names(mine: DocumentProfile, others: Sequence[Any]) -> list[str]:
    return [one.public_id for one in others if one.id != mine.document_id][:MOST_ALIKE]
