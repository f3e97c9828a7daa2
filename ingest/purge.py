"""Purge: remove what no version needs any more, by explicit id, safe against a text that comes back meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.db import insert_new
from core.errors import AmbitError
from core.ids import point_id
from core.jobs import Claim
from core.tables import Chunk, ChunkPoint, DocumentVersion, Generation, PointGarbage, VersionChunk
from embed.generations import DROPPING
from ingest.batches import batched
from ingest.dispatch import claim_garbage
from ingest.pipeline import Pipeline

VERSIONS_AT_ONCE = 20
POINTS_AT_ONCE = 500


def purge(pipeline: Pipeline) -> int:
    """Does one batch of each kind; returns how much was done, 0 when nothing is left."""
    with pipeline.db.write() as session:
        versions = session.scalars(
            select(DocumentVersion)
            .where(DocumentVersion.state == "old")
            .limit(VERSIONS_AT_ONCE)
            .with_for_update(skip_locked=True)
        ).all()
        for version in versions:
            _forget(session, version)
    return len(versions) + _remove_points(pipeline)


def _forget(session: Session, version: DocumentVersion) -> None:
    """Drops a version's list of chunks, and those chunks that no other version lists."""
    mine = list(session.scalars(select(VersionChunk.chunk_id).where(VersionChunk.version_id == version.id)))
    session.execute(delete(VersionChunk).where(VersionChunk.version_id == version.id))
    for part in batched(mine, 5000):
        listed = select(VersionChunk.chunk_id).where(VersionChunk.chunk_id == Chunk.id).exists()
        gone = session.scalars(select(Chunk).where(Chunk.id.in_(part), ~listed).with_for_update()).all()
        discard(session, gone)
    version.state = "purged"
    version.title = version.uri = ""
    version.author = None
    version.attributes = {}


def discard(session: Session, chunks: Sequence[Chunk]) -> None:
    """Notes the points of chunks as garbage, then removes the chunks."""
    if not chunks:
        return
    by_id = {chunk.id: chunk for chunk in chunks}
    generations = session.scalars(select(Generation.id).where(Generation.state != DROPPING)).all()
    rows = [
        {
            "generation_id": generation,
            "point_id": point_id(generation, chunk.document_id, chunk.hash, chunk.ordinal),
            "state": "pending",
        }
        for generation in generations
        for chunk in chunks
    ]
    insert_new(session, PointGarbage, rows)
    session.execute(delete(ChunkPoint).where(ChunkPoint.chunk_id.in_(list(by_id))))
    session.execute(delete(Chunk).where(Chunk.id.in_(list(by_id))))


def _remove_points(pipeline: Pipeline) -> int:
    done = 0
    with pipeline.db.read() as session:
        generations = session.scalars(select(Generation.id).where(Generation.state != DROPPING)).all()
    for generation in generations:
        with pipeline.db.write() as session:
            lease_s = pipeline.settings.lease_s
            claims = claim_garbage(session, generation, limit=POINTS_AT_ONCE, lease_s=lease_s)
            ids = [one.id for one in claims]
            points = list(session.scalars(select(PointGarbage.point_id).where(PointGarbage.id.in_(ids))))
        if not points:
            continue
        try:
            pipeline.stack.index.delete(pipeline.stack.generation(generation).collection, points)
        except AmbitError:
            _again(pipeline, claims)
            raise
        with pipeline.db.write() as session:
            for one in claims:
                session.execute(
                    delete(PointGarbage).where(PointGarbage.id == one.id, PointGarbage.lease_token == one.token)
                )
        done += len(points)
    return done


def _again(pipeline: Pipeline, claims: Sequence[Claim]) -> None:
    """Gives the claims back after a removal that may have been made in part: a text that comes back waits for it, and
    must not wait for the lease as well.
    """
    with pipeline.db.write() as session:
        for one in claims:
            mine = (PointGarbage.id == one.id) & (PointGarbage.lease_token == one.token)
            session.execute(update(PointGarbage).where(mine).values(lease_until=None))
