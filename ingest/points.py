"""What every writer of points shares: garbage taken back, points noted, and what a point carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.db import insert_new
from core.tables import Chunk, ChunkPoint, Generation, PointGarbage
from embed.generations import LIVE
from ingest.batches import batched
from ingest.model import ItemError

_BATCH = 5000


def reclaim(session: Session, generation: int, points: Sequence[str]) -> None:
    """Takes points off the garbage list before they are written again.

    Raises:
        ItemError: one is being removed this moment; the item waits until that is over.
    """
    for part in batched(points, _BATCH):
        rows = session.scalars(
            select(PointGarbage)
            .where(PointGarbage.generation_id == generation, PointGarbage.point_id.in_(part))
            .with_for_update()
        ).all()
        if any(row.state == "deleting" for row in rows):
            raise ItemError("point_busy", "a point that is wanted again is just being removed", transient=True)
        for row in rows:
            session.delete(row)


def note(session: Session, generation: int, chunks: Iterable[int]) -> None:
    """Notes that the index has acknowledged the points of these chunks."""
    rows = [{"generation_id": generation, "chunk_id": one} for one in chunks]
    insert_new(session, ChunkPoint, rows)


def unnote(session: Session, generation: int, chunks: Iterable[int]) -> None:
    """Forgets that these chunks have points, so that they are written again."""
    for part in batched(chunks, _BATCH):
        session.execute(delete(ChunkPoint).where(ChunkPoint.generation_id == generation, ChunkPoint.chunk_id.in_(part)))


def regret(session: Session, generation: int, names: Mapping[int, str]) -> None:
    """Points just written for chunks that were removed meanwhile are garbage.

    Args:
        names: point ids by chunk.
    """
    kept = set(session.scalars(select(Chunk.id).where(Chunk.id.in_(list(names)))))
    discard(session, generation, [point for chunk, point in names.items() if chunk not in kept])


def discard(session: Session, generation: int, points: Iterable[str]) -> None:
    """Puts points on the garbage list."""
    rows = [{"generation_id": generation, "point_id": point, "state": "pending"} for point in points]
    insert_new(session, PointGarbage, rows)


def outdate(session: Session, document: int) -> None:
    """A document's place or facets changed: its points in generations that are not live are to be written again.

    Only the live generation's points are updated in place; the others are caught up before they go live.
    """
    session.flush()  # locks the document's row, so that a writer of such points has noted them by now or will see this
    others = session.scalars(select(Generation.id).where(Generation.state != LIVE)).all()
    if others:
        chunks = select(Chunk.id).where(Chunk.document_id == document)
        session.execute(delete(ChunkPoint).where(ChunkPoint.generation_id.in_(others), ChunkPoint.chunk_id.in_(chunks)))
