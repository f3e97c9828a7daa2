"""A change of encoder with no gap: a second generation is filled beside the live one, then takes its place.

The work stands in SQL: a generation that is `building` is filled by whoever holds the index, from where it stands,
until no chunk of a current version lacks a point in it; then one transaction makes it live. Readers see the old
generation until that commit and the new one from it on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Select, delete, func, select
from sqlalchemy.orm import Session

from core.clock import db_now
from core.db import Database
from core.errors import ConflictError, NotFoundError
from core.tables import Chunk, ChunkPoint, Document, Generation, GenerationReference, PointGarbage, VersionChunk
from core.telemetry import logger
from embed.encoders.base import Encoder
from embed.encoders.room import chunk_room, room
from embed.encoders.spec import canonical
from embed.generations import (
    BUILDING,
    DROPPING,
    JUDGED,
    LIVE,
    RETIRED,
    UNFINISHED,
    LiveGeneration,
    add_generation,
    from_row,
    lock_generations,
)
from embed.sparse import usable
from ingest.fill import fill
from ingest.model import encoder_input
from ingest.pipeline import Pipeline

CHUNKS_AT_ONCE = 128
BUSY_WAIT_S = 0.2
LONGEST = 256
"""Chunks, the longest ones, that are counted with the tokenizer of an encoder before it is taken."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a building generation is: chunks of current versions, and those of them that have their point."""

    generation: int
    encoder: str
    done: int
    total: int


def begin(db: Database, encoder: Encoder, model: str, *, judged: bool = False, language: str | None = None) -> int:
    """Notes that the index is to be built anew with `encoder`; the id of the generation, the same where it is begun.

    Args:
        model: how every process finds the encoder: a name, or a folder.
        judged: whether only a build that judges may make it live, as this was asked for last.
        language: of the terms; None: as it was.

    Raises:
        ConflictError: there is none yet, the live one is of that encoder and language already, another one is being
            built, or the encoder would read stored chunks in part.
        SettingError: no terms can be made in that language.
    """
    with db.write() as session:
        lock_generations(session)
        live = session.scalars(select(Generation).where(Generation.state == LIVE)).one_or_none()
        if live is None:
            raise ConflictError("there is no index yet; set `encoder` (AMBIT_ENCODER) before the first sync instead")
        building = _building(session)
        sparse = from_row(live).sparse
        if language is not None:
            sparse = usable(replace(sparse, language=language))
        if building is not None:
            if building.model != model or from_row(building).sparse != sparse:
                raise ConflictError(
                    f"generation {building.id} is being built with {building.encoder}, its terms in "
                    f"{from_row(building).sparse.language}; let it end, or stop it with `ambit reembed --drop`"
                )
            building.state = JUDGED if judged else BUILDING
            return building.id
        if canonical(live.model or live.encoder) == canonical(model) and sparse == from_row(live).sparse:
            raise ConflictError(
                f"the live index is of {model!r} already, its terms in {sparse.language}; there is nothing to do"
            )
        _refuse_cutting(session, encoder)
        state = JUDGED if judged else BUILDING
        return add_generation(session, encoder, model, sparse, state=state).id


def begin_back(db: Database) -> int:
    """Notes that the generation that was live before is to be caught up and made live again.

    Raises:
        ConflictError: another generation is being built.
        NotFoundError: none is kept.
    """
    with db.write() as session:
        lock_generations(session)
        building = _building(session)
        if building is not None:
            raise ConflictError(f"generation {building.id} is being built; let it end, or stop it with --drop")
        former = session.scalars(
            select(Generation).where(Generation.state == RETIRED).order_by(Generation.retired_at.desc()).limit(1)
        ).first()
        if former is None:
            raise NotFoundError("no former generation is kept; build one with `ambit reembed --encoder`")
        former.state = BUILDING
        return former.id


def mark_dropped(db: Database) -> list[int]:
    """Gives up every generation that is not live; their ids. Whoever holds the index removes them."""
    with db.write() as session:
        lock_generations(session)
        rows = session.scalars(select(Generation).where(Generation.state != LIVE)).all()
        for row in rows:
            row.state = DROPPING
        return [row.id for row in rows]


def drop_marked(pipeline: Pipeline) -> int:
    """Removes the collections of generations that were given up, then what SQL notes of them; how many."""
    with pipeline.db.read() as session:
        rows = [(row.id, row.collection) for row in session.scalars(select(Generation).where(_is(DROPPING)))]
    for number, collection in rows:
        pipeline.stack.drop(collection)
        with pipeline.db.write() as session:
            for table in (ChunkPoint, GenerationReference, PointGarbage):
                session.execute(delete(table).where(table.generation_id == number))
            session.execute(delete(Generation).where(Generation.id == number))
    return len(rows)


def build(
    pipeline: Pipeline,
    *,
    rate: float = 0.0,
    stop: threading.Event | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
    judge: Callable[[int], None] | None = None,
) -> int | None:
    """Fills the building generation, if there is one, and makes it live; its id, None where it did not come to that.

    Killed at any point, it goes on from there when it is called again.

    Args:
        rate: most chunks a second; 0: no limit.
        stop: ends it after the batch in hand.
        judge: is given the whole generation before it goes live, and raises where it should not: it stays as built.
            None: one that is to be judged is not touched.
    """
    stop = stop or threading.Event()
    number = building(pipeline.db)
    if number is None or (judge is None and _state(pipeline.db, number) == JUDGED):
        return None
    try:
        generation = pipeline.stack.generation(number)
        judged = judge is None
        while not stop.is_set() and building(pipeline.db) == number:
            _pass(pipeline, generation, rate, stop, tell)
            if judge is not None and not judged and not stop.is_set() and not _lacking(pipeline.db, number):
                judge(number)
                judged = True
            if judged and not stop.is_set() and switch(pipeline.db, number):
                logger().info("generation.live", generation=number, encoder=generation.encoder)
                return number
    except NotFoundError:
        logger().info("generation.dropped", generation=number)
    return None


def switch(db: Database, number: int) -> bool:
    """Makes a building generation live in one transaction; False where a chunk still lacks its point in it."""
    with db.write() as session:
        rows = session.scalars(
            select(Generation)
            .where(Generation.state.in_((LIVE, *UNFINISHED)))
            .order_by(Generation.id)
            .with_for_update()
        ).all()
        chosen = next((row for row in rows if row.id == number and row.state in UNFINISHED), None)
        if chosen is None or session.scalars(_missing(number, after=0).limit(1)).first() is not None:
            return False
        for row in rows:
            if row.state == LIVE:
                row.state, row.retired_at = RETIRED, db_now()
        session.flush()
        chosen.state = LIVE
        return True


def building(db: Database) -> int | None:
    """Id of the generation that is being built; None: none is."""
    with db.read() as session:
        row = _building(session)
        return None if row is None else row.id


def live_number(db: Database) -> int | None:
    """Id of the live generation; None before the first."""
    with db.read() as session:
        return session.scalars(select(Generation.id).where(_is(LIVE))).first()


def progress(db: Database, number: int) -> Progress:
    """How far a generation is.

    Raises:
        NotFoundError: it was dropped.
    """
    with db.read() as session:
        row = session.get(Generation, number)
        if row is None:
            raise NotFoundError(f"generation {number} was dropped")
        current = _current().subquery()
        total = session.scalar(select(func.count()).select_from(current)) or 0
        lacking = session.scalar(select(func.count()).select_from(_missing(number, after=0).subquery())) or 0
        return Progress(number, row.encoder, total - lacking, total)


def _pass(
    pipeline: Pipeline,
    generation: LiveGeneration,
    rate: float,
    stop: threading.Event,
    tell: Callable[[Progress], None],
) -> None:
    """Once over everything that lacks its point."""
    after = 0
    while not stop.is_set():
        began = time.monotonic()
        with pipeline.db.read() as session:
            chunks = list(session.scalars(_missing(generation.id, after=after).limit(CHUNKS_AT_ONCE)))
            state = session.scalar(select(Generation.state).where(Generation.id == generation.id))
        if not chunks or state not in UNFINISHED:
            return
        done = fill(pipeline, generation, chunks)
        after = chunks[-1]
        tell(progress(pipeline.db, generation.id))
        least = len(chunks) / rate if rate else 0.0
        stop.wait(max(least - (time.monotonic() - began), 0.0 if done else BUSY_WAIT_S))


def _refuse_cutting(session: Session, encoder: Encoder) -> None:
    """Counts the longest chunks as the encoder does; what it does not read could not be found by it."""
    longest = select(Chunk.context, Chunk.text).where(Chunk.id.in_(_current())).order_by(Chunk.tokens.desc())
    texts = [encoder_input(context, text) for context, text in session.execute(longest.limit(LONGEST))]
    most = max(encoder.tokenizer.count(texts), default=0)
    if most > room(encoder):
        raise ConflictError(
            f"encoder {encoder.name} reads {room(encoder)} tokens of a chunk, and stored ones have up to {most}: set "
            f"chunk_tokens to {chunk_room(encoder)} or less, sync, then try again"
        )


def _current() -> Select[int]:
    """Chunks of the versions that readers see."""
    return select(VersionChunk.chunk_id).join(Document, Document.version_id == VersionChunk.version_id).distinct()


def _missing(generation: int, *, after: int) -> Select[int]:
    """Chunks of current versions without a point in a generation, in order, beyond chunk `after`."""
    noted = select(ChunkPoint.chunk_id).where(
        ChunkPoint.generation_id == generation, ChunkPoint.chunk_id == VersionChunk.chunk_id
    )
    return _current().where(VersionChunk.chunk_id > after, ~noted.exists()).order_by(VersionChunk.chunk_id)


def _lacking(db: Database, number: int) -> bool:
    with db.read() as session:
        return session.scalars(_missing(number, after=0).limit(1)).first() is not None


def _state(db: Database, number: int) -> str | None:
    with db.read() as session:
        return session.scalar(select(Generation.state).where(Generation.id == number))


def _building(session: Session) -> Generation | None:
    return session.scalars(select(Generation).where(Generation.state.in_(UNFINISHED)).limit(1)).first()


def _is(state: str) -> ColumnElement[bool]:
    return Generation.state == state
