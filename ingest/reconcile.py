"""SQL and index held against one another, and the index mended: SQL is the truth, and nothing is fetched again.

The index is read in pages, SQL beside it, and what was seen is one bit a chunk. A finding is looked at again in SQL
before anything is written, so that this runs beside a sync. Documents that are just being worked on are left to that
work. A superfluous point is never deleted here: it goes on the garbage list, which whoever writes the same point
takes it off again, and is then removed by explicit id.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from core.db import Database
from core.ids import point_id
from core.tables import Chunk, ChunkPoint, Document, Item, PointGarbage, VersionChunk
from core.telemetry import logger
from embed.generations import LiveGeneration
from embed.index.base import Payload
from ingest.batches import batched
from ingest.dispatch import OPEN
from ingest.fill import Stored, fill, stored
from ingest.pipeline import Pipeline
from ingest.points import discard, note, unnote
from ingest.purge import purge

PAGE = 500
FILL = 128
Found = Sequence[tuple[str, Payload]]
K = TypeVar("K", bound=Hashable)


@dataclass
class Differences:
    """How many points are not as SQL says; after `repair`, how many were found so and mended.

    Attributes:
        points: points looked at.
        missing: chunks without their point.
        unnoted: chunks whose point the index holds without SQL noting it.
        extra: points that no chunk of any version has.
        mistaken: points under the wrong tenant, source or document.
        misplaced: points under another access node than their document.
        misdescribed: points with other facets or another time than their version.
        busy: points that differ while their document is being worked on; that work sets them right.
    """

    points: int = 0
    missing: int = 0
    unnoted: int = 0
    extra: int = 0
    mistaken: int = 0
    misplaced: int = 0
    misdescribed: int = 0
    busy: int = 0

    @property
    def agree(self) -> bool:
        """Whether index and SQL agree, but for what is being worked on."""
        return not (self.missing or self.unnoted or self.extra or self.mistaken or self.misplaced or self.misdescribed)


@dataclass
class _Page:
    """What is wrong with the points of one page."""

    extra: list[tuple[str, Payload]] = field(default_factory=list)
    mistaken: list[int] = field(default_factory=list)
    misplaced: list[int] = field(default_factory=list)
    misdescribed: list[int] = field(default_factory=list)
    busy: int = 0


def counts_differ(pipeline: Pipeline) -> bool:
    """A quick look: whether the index holds as many points as SQL notes. Equal counts may hide differences."""
    live = pipeline.stack.generation()
    return noted_points(pipeline.db, live.id) != pipeline.stack.index.count(live.collection)


def noted_points(db: Database, generation: int) -> int:
    """How many points SQL notes in a generation."""
    with db.read() as session:
        count = select(func.count()).select_from(ChunkPoint).where(ChunkPoint.generation_id == generation)
        return session.scalar(count) or 0


def verify(pipeline: Pipeline) -> Differences:
    """Compares; writes nothing.

    Raises:
        IndexUnavailableError: the index does not answer, or another process holds it.
    """
    return _Comparison(pipeline, mend=False).run()


def repair(pipeline: Pipeline, stop: threading.Event | None = None) -> Differences:
    """Compares and mends; what it could not mend is found again by the next `verify`.

    Args:
        stop: ends it after the page in hand.

    Raises:
        IndexUnavailableError: the index does not answer, or another process holds it.
    """
    found = _Comparison(pipeline, mend=True, stop=stop).run()
    if not found.agree:
        logger().warning("index.repaired", missing=found.missing, extra=found.extra, misplaced=found.misplaced)
    return found


class _Comparison:
    """One run over one generation."""

    def __init__(self, pipeline: Pipeline, *, mend: bool, stop: threading.Event | None = None) -> None:
        self._pipeline, self._mend = pipeline, mend
        self._stop = stop or threading.Event()
        self._live: LiveGeneration = pipeline.stack.generation()
        self._found = Differences()
        self._seen = bytearray()

    def run(self) -> Differences:
        """Index against SQL, then SQL against what was seen."""
        with self._pipeline.db.read() as session:
            last = session.scalar(select(func.max(Chunk.id))) or 0
        self._seen = bytearray(last // 8 + 1)
        for page in batched(self._pipeline.stack.index.scan(self._live.collection), PAGE):
            if self._stop.is_set():
                return self._found
            self._page(page)
        self._missing(last)
        if self._mend and self._found.extra:
            while purge(self._pipeline):
                continue
        return self._found

    def _page(self, page: Found) -> None:
        with self._pipeline.db.read() as session:
            wrong = examine(session, self._live, page)
        extra = {point for point, _ in wrong.extra}
        for point, payload in page:
            if 0 < payload.chunk < len(self._seen) * 8 and point not in extra:
                self._seen[payload.chunk >> 3] |= 1 << (payload.chunk & 7)
        found = self._found
        found.points += len(page)
        found.busy += wrong.busy
        found.extra += len(wrong.extra)
        found.mistaken += len(wrong.mistaken)
        found.misplaced += len(wrong.misplaced)
        found.misdescribed += len(wrong.misdescribed)
        if self._mend:
            self._remove(wrong.extra)
            self._rewrite(wrong.mistaken)
            self._set_right(wrong.misplaced, wrong.misdescribed)

    def _missing(self, last: int) -> None:
        """Chunks that should have a point, were not seen, and are not in the index now either."""
        after = 0
        while not self._stop.is_set():
            with self._pipeline.db.read() as session:
                chunks, names, noted = _expected(session, self._live.id, after, last)
            if not chunks:
                return
            after = chunks[-1]
            unseen = [one for one in chunks if not self._seen[one >> 3] & 1 << (one & 7)]
            there = self._pipeline.stack.index.existing(self._live.collection, [names[one] for one in unseen])
            absent = [one for one in unseen if names[one] not in there]
            unnoted = set(chunks) - noted - set(absent)
            self._found.missing += len(absent)
            self._found.unnoted += len(unnoted)
            if self._mend:
                self._rewrite(absent)
                self._note(unnoted)

    def _note(self, chunks: set[int]) -> None:
        if chunks:
            with self._pipeline.db.write() as session:
                note(session, self._live.id, stored(session, self._live.id, sorted(chunks), hold=True))

    def _rewrite(self, chunks: Sequence[int]) -> None:
        """Writes points anew. Chunks of versions that are only staged are left to the stage that encodes those."""
        for part in batched(chunks, FILL):
            with self._pipeline.db.write() as session:
                unnote(session, self._live.id, part)
            fill(self._pipeline, self._live, part)

    def _remove(self, points: Found) -> None:
        """Puts points on the garbage list, unless a chunk of their document has come to want one meanwhile."""
        by_document: dict[int, list[str]] = defaultdict(list)
        for point, payload in points:
            by_document[payload.document].append(point)
        for document, names in by_document.items():
            with self._pipeline.db.write() as session:
                session.get(Document, document, with_for_update=True)  # no chunk of it is added until this is noted
                wanted = _names(session, self._live.id, document)
                discard(session, self._live.id, [one for one in names if one not in wanted])
            self._rewrite([wanted[one] for one in names if one in wanted])

    def _set_right(self, misplaced: Sequence[int], misdescribed: Sequence[int]) -> None:
        """Updates payloads, then looks whether SQL still says the same; where not, the point is written anew."""
        chunks = sorted({*misplaced, *misdescribed})
        if not chunks:
            return
        with self._pipeline.db.read() as session:
            wanted = stored(session, self._live.id, chunks)
        index, collection = self._pipeline.stack.index, self._live.collection
        for acl, names in _grouped(wanted, misplaced, lambda one: one.acl).items():
            index.place(collection, names, acl=acl)
        for (facets, modified), names in _grouped(wanted, misdescribed, lambda one: (one.facets, one.modified)).items():
            index.describe(collection, names, facets=facets, modified=modified)
        with self._pipeline.db.read() as session:
            now = stored(session, self._live.id, chunks)
        self._rewrite([one for one in chunks if now.get(one) != wanted.get(one)])


def examine(session: Session, live: LiveGeneration, page: Found) -> _Page:
    """What is wrong with these points, by this snapshot."""
    chunks = [payload.chunk for _, payload in page]
    names = _chunk_names(session, live.id, chunks)
    current = stored(session, live.id, chunks)
    busy = _busy(session, {payload.document for _, payload in page})
    leaving = _garbage(session, live.id, [point for point, _ in page])
    wrong = _Page()
    for point, payload in page:
        if names.get(payload.chunk) != point:
            if point not in leaving:
                wrong.extra.append((point, payload))
        elif payload.chunk in current:
            _compare(wrong, payload, current[payload.chunk].payload, busy=payload.document in busy)
    return wrong


def _grouped(wanted: dict[int, Stored], chunks: Sequence[int], key: Callable[[Payload], K]) -> dict[K, list[str]]:
    """Point ids by what their payload is to say."""
    groups: dict[K, list[str]] = defaultdict(list)
    for one in chunks:
        if one in wanted:
            groups[key(wanted[one].payload)].append(wanted[one].point)
    return groups


def _compare(wrong: _Page, found: Payload, wanted: Payload, *, busy: bool) -> None:
    if found == wanted:
        return
    if found._replace(acl=wanted.acl, facets=wanted.facets, modified=wanted.modified) != wanted:
        wrong.mistaken.append(wanted.chunk)
    elif busy:
        wrong.busy += 1
    else:
        if found.acl != wanted.acl:
            wrong.misplaced.append(wanted.chunk)
        if (found.facets, found.modified) != (wanted.facets, wanted.modified):
            wrong.misdescribed.append(wanted.chunk)


def _chunk_names(session: Session, generation: int, chunks: Sequence[int]) -> dict[int, str]:
    """Point ids of those of `chunks` that there are."""
    rows = session.execute(select(Chunk.id, Chunk.document_id, Chunk.hash, Chunk.ordinal).where(Chunk.id.in_(chunks)))
    return {chunk: point_id(generation, document, name, ordinal) for chunk, document, name, ordinal in rows}


def _names(session: Session, generation: int, document: int) -> dict[str, int]:
    """The chunks of a document by their point ids."""
    rows = session.execute(select(Chunk.id, Chunk.hash, Chunk.ordinal).where(Chunk.document_id == document))
    return {point_id(generation, document, name, ordinal): chunk for chunk, name, ordinal in rows}


def _busy(session: Session, documents: set[int]) -> set[int]:
    """Documents with open work that writes payloads."""
    rows = session.scalars(
        select(Item.document_id).where(
            Item.document_id.in_(documents), Item.state.in_(OPEN), Item.stage.in_(["encode", "place"])
        )
    )
    return {one for one in rows if one is not None}


def _garbage(session: Session, generation: int, points: Sequence[str]) -> set[str]:
    return set(
        session.scalars(
            select(PointGarbage.point_id).where(
                PointGarbage.generation_id == generation, PointGarbage.point_id.in_(points)
            )
        )
    )


def _expected(session: Session, generation: int, after: int, last: int) -> tuple[list[int], dict[int, str], set[int]]:
    """The next chunks, in order, that are noted or stand in a current version; their point ids; those noted."""
    noted = select(ChunkPoint.chunk_id).where(ChunkPoint.generation_id == generation, ChunkPoint.chunk_id == Chunk.id)
    shown = (
        select(VersionChunk.chunk_id)
        .join(Document, Document.version_id == VersionChunk.version_id)
        .where(VersionChunk.chunk_id == Chunk.id)
    )
    chunks = list(
        session.scalars(
            select(Chunk.id)
            .where(Chunk.id > after, Chunk.id <= last, or_(noted.exists(), shown.exists()))
            .order_by(Chunk.id)
            .limit(PAGE)
        )
    )
    known = select(ChunkPoint.chunk_id).where(ChunkPoint.generation_id == generation, ChunkPoint.chunk_id.in_(chunks))
    return chunks, _chunk_names(session, generation, chunks), set(session.scalars(known))
