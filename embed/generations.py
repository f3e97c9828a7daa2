"""Generations: each one encoder, sparse parameters and collection. Searches and writes go to the live one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.db import Database, insert_new
from core.errors import NotFoundError
from core.prepared import Prepared
from core.tables import Generation, GenerationReference
from embed.encoders.base import Encoder, Vectors
from embed.sparse import SparseParams

BUILDING, JUDGED, LIVE, RETIRED, DROPPING = "building", "judged", "live", "retired", "dropping"
UNFINISHED = (BUILDING, JUDGED)
"""Being filled; a judged one goes live through whoever measures it alone, and is left alone by everybody else."""


@dataclass(frozen=True, slots=True)
class LiveGeneration:
    """A generation as it stands in SQL; its id goes into `core.ids.point_id`.

    Attributes:
        encoder: the encoder's name.
        model: how the encoder is found: a name or a folder.
    """

    id: int
    collection: str
    dimension: int
    sparse: SparseParams
    encoder: str
    model: str


_STANDING = Prepared(select(*Generation.__table__.columns).where(Generation.state == LIVE))


def live_generation(
    db: Database, encoder: Callable[[], tuple[Encoder, str]], sparse: Callable[[], SparseParams]
) -> LiveGeneration:
    """The live generation, made where there is none yet; several processes end with one.

    Args:
        encoder: gives the encoder of the first generation and how it is found; called only where there is none.
        sparse: gives its parameters, likewise.
    """
    standing = standing_generation(db)
    if standing is not None:
        return standing
    made, model = encoder()
    params = sparse()
    with db.write() as session:
        lock_generations(session)
        found = session.scalar(select(Generation).where(Generation.state == LIVE))
        return from_row(found or add_generation(session, made, model, params, state=LIVE))


def standing_generation(db: Database) -> LiveGeneration | None:
    """The live generation; None before the first."""
    with db.read() as session:
        row = _STANDING.first(session)
        return None if row is None else from_row(row)


def one_generation(db: Database, number: int) -> LiveGeneration:
    """The generation of that id, whatever its state.

    Raises:
        NotFoundError: it was dropped.
    """
    with db.read() as session:
        row = session.get(Generation, number)
        if row is None:
            raise NotFoundError(f"there is no generation {number} any more")
        return from_row(row)


def from_row(row: Any) -> LiveGeneration:
    """A generation apart from its session."""
    sparse = SparseParams.from_json(row.sparse)
    return LiveGeneration(row.id, row.collection, row.dimension, sparse, row.encoder, row.model or row.encoder)


def lock_generations(session: Session) -> None:
    """Makes whoever else changes generations wait for this transaction; SQLite writers wait anyway."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(text("LOCK TABLE generation IN SHARE ROW EXCLUSIVE MODE"))


def add_generation(session: Session, encoder: Encoder, model: str, sparse: SparseParams, *, state: str) -> Generation:
    """A new row; the caller holds the lock."""
    number = (session.scalar(select(func.max(Generation.id))) or 0) + 1
    row = Generation(
        encoder=encoder.name,
        model=model,
        dimension=encoder.dimension,
        sparse=sparse.to_json(),
        collection=collection_name(number, encoder.name),
        state=state,
    )
    session.add(row)
    session.flush()
    return row


def reference_of(db: Database, generation: LiveGeneration, mine: Vectors) -> Vectors:
    """Where the encoder that first opened the generation puts known sentences, of shape (sentences, dimension).

    Args:
        mine: the vectors of whoever asks, of the same shape; they are noted where none are yet.
    """
    known = _reference(db, generation.id)
    if known is None:
        row = {"generation_id": generation.id, "vectors": np.asarray(mine, "<f4").tobytes()}
        with db.write() as session:
            insert_new(session, GenerationReference, [row])
        known = _reference(db, generation.id)
    return np.frombuffer(known or b"", "<f4").reshape(-1, generation.dimension)


def _reference(db: Database, number: int) -> bytes | None:
    with db.read() as session:
        return session.scalar(select(GenerationReference.vectors).where(GenerationReference.generation_id == number))


def collection_name(number: int, encoder: str) -> str:
    """Name of a generation's collection, as in `g1_all-minilm-l6-v2`."""
    return f"g{number}_" + re.sub(r"[^a-z0-9.-]+", "-", encoder.lower())[:80]
