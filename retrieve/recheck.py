"""The authority: every hit is decided again in a fresh snapshot, and its text is read only if it passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.prepared import Prepared, among
from core.tables import Chunk, Document, DocumentVersion, Source, VersionChunk
from embed.index.base import Hit
from policies.decide import decide
from policies.epoch import current
from policies.labels import classifications, effective, highest
from policies.subject import Caller, resolve_subject
from retrieve.model import Passage
from retrieve.shaping import Candidate

CLASSIFICATION = "classification"


@dataclass(frozen=True, slots=True)
class Checked:
    """Hits that passed, the documents refused, and the chunks found that are no longer current.

    `reported`: for each report-only rule (by id), how many documents it would have decided otherwise.
    """

    candidates: tuple[Candidate, ...]
    refused: tuple[int, ...]
    stale: frozenset[int]
    epoch: int
    reported: Mapping[int, int] = field(default_factory=dict)


def recheck(session: Session, caller: Caller, hits: Sequence[Hit]) -> Checked:
    """Decides every hit's document in this snapshot and reads what passed, in the order of the hits."""
    subject = resolve_subject(session, caller)
    verdicts = decide(session, subject, {hit.document for hit in hits})
    passed = [hit for hit in hits if verdicts[hit.document].allowed]
    rows = _rows(session, caller.tenant, passed)
    labels = _classifications(session, caller.tenant, rows.values())
    found = [_candidate(hit, rows[hit.chunk], labels[hit.chunk]) for hit in passed if hit.chunk in rows]
    refused = sorted({hit.document for hit in hits if not verdicts[hit.document].allowed})
    return Checked(
        candidates=tuple(found),
        refused=tuple(refused),
        stale=frozenset(hit.chunk for hit in passed if hit.chunk not in rows),
        epoch=current(session, caller.tenant),
        reported=Counter(rule.id for verdict in verdicts.values() for rule in verdict.reported),
    )


def _classifications(session: Session, tenant: int, rows: Collection[Any]) -> dict[int, str]:
    """By chunk id, its document's label; the stricter one while the document waits to move to another node."""
    pending = {row.pending for row in rows if row.pending is not None}
    labels = effective(session, tenant, {row.node for row in rows} | pending)
    found = {row.chunk: labels[row.node][CLASSIFICATION] for row in rows}
    if pending:
        ordered = classifications(session, tenant)
        for row in rows:
            if row.pending is not None:
                found[row.chunk] = highest([found[row.chunk], labels[row.pending][CLASSIFICATION]], ordered)
    return found


def still_allowed(
    session: Session, caller: Caller, candidates: Sequence[Candidate]
) -> tuple[list[Candidate], frozenset[int]]:
    """The candidates that pass once more in this snapshot, without the copies that do not, and the documents refused.

    For those that passed in an earlier one: a model may have taken seconds since.
    """
    names = {one for candidate in candidates for one in candidate.passage.documents}
    statement = select(Document.id, Document.public_id).where(
        Document.tenant_id == caller.tenant, Document.public_id.in_(names)
    )
    ids = {row.public_id: row.id for row in session.execute(statement)}
    verdicts = decide(session, resolve_subject(session, caller), ids.values())
    allowed = {name for name, id_ in ids.items() if verdicts[id_].allowed}
    kept = [
        replace(one, passage=replace(one.passage, also=tuple(p for p in one.passage.also if p.document in allowed)))
        for one in candidates
        if one.passage.document in allowed
    ]
    return kept, frozenset(id_ for name, id_ in ids.items() if name not in allowed)


def public_ids(session: Session, tenant: int, documents: Sequence[int]) -> tuple[str, ...]:
    """Public ids of documents, for the audit."""
    if not documents:
        return ()
    return tuple(sorted(row[0] for row in _PUBLIC.plain(session, tenant=tenant, ids=documents)))


_PUBLIC = Prepared(
    select(Document.public_id).where(Document.tenant_id == bindparam("tenant"), among(Document.id, "ids"))
)


_ROWS = Prepared(
    select(
        Chunk.id.label("chunk"),
        Chunk.hash,
        Chunk.ordinal,
        Chunk.text,
        Chunk.tokens,
        Document.public_id,
        Document.node_id.label("node"),
        Document.pending_node_id.label("pending"),
        DocumentVersion.id.label("version"),
        DocumentVersion.title,
        DocumentVersion.modified_at,
        DocumentVersion.uri,
        Source.key.label("source"),
        VersionChunk.heading,
        VersionChunk.page,
        VersionChunk.kind,
        VersionChunk.position,
    )
    .join(VersionChunk, VersionChunk.chunk_id == Chunk.id)
    .join(Document, (Document.id == Chunk.document_id) & (Document.version_id == VersionChunk.version_id))
    .join(DocumentVersion, DocumentVersion.id == VersionChunk.version_id)
    .join(Source, Source.id == Document.source_id)
    .where(
        Chunk.tenant_id == bindparam("tenant"),
        Document.tenant_id == bindparam("tenant"),
        among(Chunk.id, "chunks"),
    )
    .order_by(VersionChunk.position.desc())
)


def _rows(session: Session, tenant: int, hits: Sequence[Hit]) -> dict[int, Any]:
    """By chunk id, what is current of each hit. A text that repeats in a document stands where it stands first."""
    if not hits:
        return {}
    found = _ROWS.all(session, tenant=tenant, chunks=[hit.chunk for hit in hits])
    return {row.chunk: row for row in found}


def _candidate(hit: Hit, row: Any, classification: str) -> Candidate:
    return Candidate(
        passage=_passage(hit, row, classification),
        version=row.version,
        tokens=row.tokens,
        modified=row.modified_at,
    )


def _passage(hit: Hit, row: Any, classification: str) -> Passage:
    return Passage(
        chunk=f"{row.public_id}.{row.hash[:16]}.{row.ordinal}",
        document=row.public_id,
        title=row.title,
        uri=row.uri,
        source=row.source,
        text=row.text,
        heading=row.heading,
        page=row.page,
        kind=row.kind,
        position=row.position,
        score=hit.score,
        classification=classification,
    )
