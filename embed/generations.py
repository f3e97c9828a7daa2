"""The live generation: the encoder, sparse parameters and collection that searches and writes go to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.db import Database
from core.tables import Generation
from embed.encoders.base import Encoder
from embed.encoders.verify import EncoderMismatchError
from embed.sparse import SparseParams


@dataclass(frozen=True, slots=True)
class LiveGeneration:
    """A generation as it stands in SQL; its id goes into `core.ids.point_id`."""

    id: int
    collection: str
    dimension: int
    sparse: SparseParams


def live_generation(db: Database, encoder: Encoder, sparse: SparseParams) -> LiveGeneration:
    """The live generation, made from `encoder` and `sparse` where there is none yet; several processes end with one.

    Raises:
        EncoderMismatchError: it was made by another encoder.
    """
    with db.read() as session:
        row = _live(session)
    if row is None:
        row = _create(db, encoder, sparse)
    if (row.encoder, row.dimension) != (encoder.name, encoder.dimension):
        raise EncoderMismatchError(
            f"the index was made by {row.encoder} ({row.dimension} dimensions), and the settings name {encoder.name} "
            f"({encoder.dimension}): run re-embedding, or set AMBIT_ENCODER back"
        )
    return LiveGeneration(row.id, row.collection, row.dimension, SparseParams.from_json(row.sparse))


def _create(db: Database, encoder: Encoder, sparse: SparseParams) -> Generation:
    """Looks again under a lock, so that the second of two processes finds what the first made."""
    with db.write() as session:
        if not db.is_sqlite:
            session.execute(text("LOCK TABLE generation IN SHARE ROW EXCLUSIVE MODE"))
        found = _live(session)
        if found is not None:
            return found
        number = (session.scalar(select(func.max(Generation.id))) or 0) + 1
        row = Generation(
            encoder=encoder.name,
            dimension=encoder.dimension,
            sparse=sparse.to_json(),
            collection=collection_name(number, encoder.name),
            state="live",
        )
        session.add(row)
        session.flush()
        return row


def collection_name(number: int, encoder: str) -> str:
    """Name of a generation's collection, as in `g1_all-minilm-l6-v2`."""
    return f"g{number}_" + re.sub(r"[^a-z0-9.-]+", "-", encoder.lower())[:80]


def _live(session: Session) -> Generation | None:
    row = session.scalar(select(Generation).where(Generation.state == "live"))
    if row is not None:
        session.expunge(row)
    return row
