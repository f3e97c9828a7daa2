"""Writing points from what SQL stores: texts from chunks, payloads from documents; nothing is fetched or parsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from core.ids import point_id
from core.tables import Chunk, Document, DocumentVersion, Generation, VersionChunk
from embed.generations import DROPPING, LiveGeneration
from embed.index.base import Payload, Point
from ingest.facets import facet_ids, seconds
from ingest.model import ItemError, encoder_input
from ingest.pipeline import Pipeline
from ingest.points import note, reclaim, regret


@dataclass(frozen=True, slots=True)
class Stored:
    """A chunk of a current version as SQL has it now."""

    point: str
    text: str
    payload: Payload


def stored(session: Session, generation: int, chunks: Sequence[int], *, hold: bool = False) -> dict[int, Stored]:
    """By chunk id, those of `chunks` that stand in the current version of their document.

    Args:
        hold: keeps others from moving these documents until the transaction ends.
    """
    statement = (
        select(Chunk, Document, DocumentVersion)
        .join(Document, Document.id == Chunk.document_id)
        .join(DocumentVersion, DocumentVersion.id == Document.version_id)
        .where(Chunk.id.in_(chunks), _listed())
    )
    if hold:
        statement = statement.with_for_update(read=True, of=Document)
    facets: dict[int, tuple[int, ...]] = {}
    found: dict[int, Stored] = {}
    for chunk, document, version in session.execute(statement):
        if version.id not in facets:
            facets[version.id] = facet_ids(session, version, make=False)
        found[chunk.id] = Stored(
            point=point_id(generation, chunk.document_id, chunk.hash, chunk.ordinal),
            text=encoder_input(chunk.context, chunk.text),
            payload=_payload(chunk, document, facets[version.id], seconds(version)),
        )
    return found


def fill(pipeline: Pipeline, generation: LiveGeneration, chunks: Sequence[int]) -> int:
    """Encodes these chunks with the generation's encoder, writes their points and notes them; how many were noted.

    A chunk whose text went, whose document moved meanwhile, or whose point is just being removed, is not noted: it is
    still missing, and to be filled again.
    """
    wanted = _reclaimed(pipeline, generation, chunks)
    if not wanted:
        return 0
    ids = list(wanted)
    vectors = pipeline.stack.embed_passages([wanted[one].text for one in ids], generation)
    points = [
        Point(id=wanted[one].point, dense=dense, sparse=sparse, payload=wanted[one].payload)
        for one, (dense, sparse) in zip(ids, vectors, strict=True)
    ]
    pipeline.stack.index.upsert(generation.collection, points)
    with pipeline.db.write() as session:
        row = session.get(Generation, generation.id)
        if row is None or row.state == DROPPING:
            return 0
        now = stored(session, generation.id, ids, hold=True)
        kept = [one for one in ids if one in now and now[one] == wanted[one]]
        note(session, generation.id, kept)
        regret(session, generation.id, {one: wanted[one].point for one in ids})
    return len(kept)


def _reclaimed(pipeline: Pipeline, generation: LiveGeneration, chunks: Sequence[int]) -> dict[int, Stored]:
    """What is to be written, off the garbage list; nothing while one of the points is being removed."""
    try:
        with pipeline.db.write() as session:
            wanted = stored(session, generation.id, chunks)
            reclaim(session, generation.id, [one.point for one in wanted.values()])
            return wanted
    except ItemError:
        return {}


def _listed() -> ColumnElement[bool]:
    return (
        select(VersionChunk.chunk_id)
        .where(VersionChunk.version_id == Document.version_id, VersionChunk.chunk_id == Chunk.id)
        .exists()
    )


def _payload(chunk: Chunk, document: Document, facets: tuple[int, ...], modified: int) -> Payload:
    return Payload(
        tenant=document.tenant_id,
        source=document.source_id,
        document=document.id,
        chunk=chunk.id,
        acl=document.node_id,
        facets=facets,
        modified=modified,
    )
