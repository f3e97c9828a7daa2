"""The profile stage: a look at each version once it is current, beside ingestion, so that no document waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, insert, select
from sqlalchemy.orm import Session

from core.tables import (
    Chunk,
    Document,
    DocumentBand,
    DocumentFinding,
    DocumentProfile,
    DocumentVersion,
    Tenant,
    VersionChunk,
)
from core.telemetry import logger
from ingest.catalogue.forget import forget_profiles, unseen_versions
from ingest.catalogue.personal import personal_data
from ingest.catalogue.similar import ALIKE, Likeness, bands, likeness, similarity
from ingest.pipeline import Pipeline

VERSIONS_AT_ONCE = 32
CANDIDATES = 64
"""Most documents that a new one is compared with; more share a band only where all are alike."""


@dataclass(frozen=True, slots=True)
class _Profile:
    """What was found in one version."""

    version: int
    document: int
    tenant: int
    chunks: int
    tokens: int
    likeness: Likeness
    findings: dict[str, int]


def profile_versions(pipeline: Pipeline) -> int:
    """Looks at a batch of versions; how many were taken, 0 when all have been seen."""
    with pipeline.db.read() as session:
        texts = [_text(session, row) for row in session.scalars(_next_versions())]
    profiles = [_looked_at(one) for one in texts]
    if profiles:
        with pipeline.db.write() as session:
            for found in sorted(profiles, key=lambda one: (one.tenant, one.document)):
                _store(session, found)
    return len(profiles)


def _next_versions() -> Select[DocumentVersion]:
    ids = unseen_versions().order_by(DocumentVersion.id).limit(VERSIONS_AT_ONCE)
    return select(DocumentVersion).where(DocumentVersion.id.in_(ids))


@dataclass(frozen=True, slots=True)
class _Text:
    """What one version says."""

    version: int
    document: int
    tenant: int
    chunks: int
    tokens: int
    text: str


def _text(session: Session, version: DocumentVersion) -> _Text:
    chunks = session.execute(
        select(Chunk.text, Chunk.tokens)
        .join(VersionChunk, VersionChunk.chunk_id == Chunk.id)
        .where(VersionChunk.version_id == version.id)
        .order_by(VersionChunk.position)
    ).all()
    return _Text(
        version=version.id,
        document=version.document_id,
        tenant=version.tenant_id,
        chunks=len(chunks),
        tokens=sum(one.tokens for one in chunks),
        text="\n".join(one.text for one in chunks),
    )


def _looked_at(one: _Text) -> _Profile:
    """A text that cannot be looked at must not stop its neighbours: it counts as seen, with nothing found."""
    try:
        like, findings = likeness(one.text), personal_data(one.text)
    except Exception as error:  # noqa: BLE001 - whatever a text does to a check is that document's alone
        logger().error("document.unprofiled", reason=type(error).__name__)
        like, findings = Likeness(f"unread:{one.document}", None), {}
    return _Profile(one.version, one.document, one.tenant, one.chunks, one.tokens, like, findings)


def _store(session: Session, found: _Profile) -> None:
    """Keeps a profile, unless the version was overtaken or deleted meanwhile.

    The tenant's row is locked, so that two workers with two copies of one document see one another.
    """
    session.execute(select(Tenant.id).where(Tenant.id == found.tenant).with_for_update(key_share=True))
    document = session.get_one(Document, found.document, with_for_update={"key_share": True})
    version = session.get_one(DocumentVersion, found.version)
    if document.version_id != found.version or version.profiled:
        return
    version.profiled = 1
    forget_profiles(session, [found.document])
    mine = bands(found.likeness.signature) if found.likeness.signature is not None else []
    session.add(
        DocumentProfile(
            document_id=found.document,
            tenant_id=found.tenant,
            version_id=found.version,
            chunks=found.chunks,
            tokens=found.tokens,
            text_hash=found.likeness.text_hash,
            signature=found.likeness.signature,
            near_group=_group(session, found, mine),
        )
    )
    _add(session, DocumentBand, found, [{"place": place, "band": band} for place, band in enumerate(mine)])
    _add(session, DocumentFinding, found, [{"kind": kind, "count": one} for kind, one in found.findings.items()])


def _add(
    session: Session, table: type[DocumentBand | DocumentFinding], found: _Profile, rows: list[dict[str, Any]]
) -> None:
    own = {"document_id": found.document, "tenant_id": found.tenant}
    if rows:
        session.execute(insert(table), [own | row for row in rows])


def _group(session: Session, found: _Profile, mine: Sequence[int]) -> int | None:
    """The group of the document most like this one; one of its own where none is alike enough."""
    signature = found.likeness.signature
    if signature is None:
        return None
    best, group = 0.0, found.document
    for other, theirs in _candidates(session, found, mine):
        alike = similarity(signature, theirs)
        if alike >= ALIKE and alike > best:
            best, group = alike, other
    return group


def _candidates(session: Session, found: _Profile, mine: Sequence[int]) -> Iterable[tuple[int, bytes]]:
    """Group and signature of documents that share a band; one of each group, as far as the hashes are the same."""
    sharing = select(DocumentBand.document_id).where(
        DocumentBand.tenant_id == found.tenant, DocumentBand.band.in_(mine), DocumentBand.document_id != found.document
    )
    rows = session.execute(
        select(DocumentProfile.near_group, DocumentProfile.signature)
        .where(DocumentProfile.document_id.in_(sharing))
        .distinct()
        .limit(CANDIDATES)
    )
    return [(group, signature) for group, signature in rows if group is not None and signature is not None]
