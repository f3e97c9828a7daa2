"""The encode stage: give chunks their points, then make the new version the one that readers see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.errors import AmbitError, LeaseLostError
from core.ids import point_id
from core.jobs import Claim, renew, settle
from core.tables import Chunk, ChunkPoint, Document, DocumentVersion, Generation, Item, Upload, VersionChunk
from core.telemetry import logger
from embed.generations import LIVE, LiveGeneration
from embed.index.base import Payload, Point
from ingest.batches import batched
from ingest.deletion import move
from ingest.facets import facet_ids, seconds
from ingest.model import encoder_input
from ingest.parse_stage import close_failed, unexpected
from ingest.pipeline import Pipeline
from ingest.points import note, outdate, reclaim, regret

CHUNKS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class _Work:
    """One claimed item with what its points carry."""

    held: Claim
    document: int
    tenant: int
    source: int
    acl: int
    version: int
    facets: tuple[int, ...]
    modified: int


def encode_items(pipeline: Pipeline, claims: Sequence[Claim]) -> None:
    """Takes claimed items through encode, index and commit, encoding their chunks together."""
    try:
        _encode(pipeline, claims)
    except LeaseLostError:
        logger().info("item.lost", stage="encode")
        for one in claims if len(claims) > 1 else ():
            encode_items(pipeline, [one])
    except AmbitError as error:
        _each_failed(pipeline, claims, error)
    except Exception as error:  # noqa: BLE001 - the edge of a stage: whatever went wrong is these items' alone
        _each_failed(pipeline, claims, unexpected(error))


def _each_failed(pipeline: Pipeline, claims: Sequence[Claim], error: AmbitError) -> None:
    """A batch that fails is tried again one by one, so that a bad item stops no neighbour."""
    if len(claims) == 1:
        close_failed(pipeline, claims[0], error, stage="encode")
        return
    for one in claims:
        encode_items(pipeline, [one])


def _encode(pipeline: Pipeline, claims: Sequence[Claim]) -> None:
    generation = pipeline.stack.generation()
    with pipeline.db.write() as session:
        works = [work for one in claims if (work := _work(session, one)) is not None]
    while missing := _missing(pipeline, generation, works):
        for batch in batched(missing, CHUNKS_AT_ONCE):
            _index(pipeline, generation, works, batch)
    _refresh_kept(pipeline, generation, works)
    with pipeline.db.write() as session:
        done = _commit(session, generation, works)
    if not done:
        _encode(pipeline, [work.held for work in works])
    pipeline.wake("finish")


def _work(session: Session, held: Claim) -> _Work | None:
    item = session.get_one(Item, held.id)
    document = session.get_one(Document, item.document_id)
    version = session.get(DocumentVersion, item.version_id) if item.version_id else None
    if document.state == "deleted" or version is None or version.state != "staged":
        settle(session, Item, held, state="skipped", lease_until=None, note="overtaken by a later change")
        return None
    return _Work(
        held=held,
        document=document.id,
        tenant=document.tenant_id,
        source=document.source_id,
        acl=document.pending_node_id or item.payload["target"],
        version=version.id,
        facets=facet_ids(session, version),
        modified=seconds(version),
    )


def _missing(pipeline: Pipeline, generation: LiveGeneration, works: Sequence[_Work]) -> list[int]:
    """Chunks of these versions that have no point yet."""
    if not works:
        return []
    with pipeline.db.read() as session:
        known = select(ChunkPoint.chunk_id).where(
            ChunkPoint.generation_id == generation.id, ChunkPoint.chunk_id == VersionChunk.chunk_id
        )
        rows = session.scalars(
            select(VersionChunk.chunk_id)
            .where(VersionChunk.version_id.in_([work.version for work in works]), ~known.exists())
            .distinct()
        ).all()
    return sorted(rows)


def _index(pipeline: Pipeline, generation: LiveGeneration, works: Sequence[_Work], ids: Sequence[int]) -> None:
    by_document = {work.document: work for work in works}
    with pipeline.db.write() as session:
        renew(session, Item, [work.held for work in works], lease_s=pipeline.settings.lease_s)
        chunks = session.scalars(select(Chunk).where(Chunk.id.in_(ids))).all()
        names = {chunk.id: point_id(generation.id, chunk.document_id, chunk.hash, chunk.ordinal) for chunk in chunks}
        reclaim(session, generation.id, list(names.values()))
    vectors = pipeline.stack.embed_passages([encoder_input(chunk.context, chunk.text) for chunk in chunks], generation)
    points = [
        Point(
            id=names[chunk.id], dense=dense, sparse=sparse, payload=_payload(by_document[chunk.document_id], chunk.id)
        )
        for chunk, (dense, sparse) in zip(chunks, vectors, strict=True)
    ]
    pipeline.stack.index.upsert(generation.collection, points)
    try:
        with pipeline.db.write() as session:
            renew(session, Item, [work.held for work in works], lease_s=pipeline.settings.lease_s)
            note(session, generation.id, [chunk.id for chunk in chunks])
    except LeaseLostError:
        with pipeline.db.write() as session:
            regret(session, generation.id, names)
        raise


def _payload(work: _Work, chunk: int) -> Payload:
    return Payload(
        tenant=work.tenant,
        source=work.source,
        document=work.document,
        chunk=chunk,
        acl=work.acl,
        facets=work.facets,
        modified=work.modified,
    )


def _refresh_kept(pipeline: Pipeline, generation: LiveGeneration, works: Sequence[_Work]) -> None:
    """Points kept from the version before carry its node, facets and time; no vector is written."""
    index, collection = pipeline.stack.index, generation.collection
    with pipeline.db.read() as session:
        stale = [(work, _kept(session, generation, work)) for work in works]
    for work, kept in stale:
        if kept.described:
            index.describe(collection, kept.described, facets=work.facets, modified=work.modified)
        if kept.moved:
            index.place(collection, kept.moved, acl=work.acl)


class _Kept(NamedTuple):
    """Points of a document's version before that the new one has too, and that do not say yet what it says."""

    described: Sequence[str] = ()
    moved: Sequence[str] = ()


def _kept(session: Session, generation: LiveGeneration, work: _Work) -> _Kept:
    document = session.get_one(Document, work.document)
    if document.version_id is None:
        return _Kept()
    before = session.get_one(DocumentVersion, document.version_id)
    kept = _points(session, generation.id, work.version, also=document.version_id)
    same = facet_ids_known(session, before) == work.facets and seconds(before) == work.modified
    return _Kept(described=() if same else kept, moved=() if document.node_id == work.acl else kept)


def facet_ids_known(session: Session, version: DocumentVersion) -> tuple[int, ...]:
    """Facets of a version that are interned already."""
    return facet_ids(session, version, make=False)


def _points(session: Session, generation: int, version: int, *, also: int | None = None) -> list[str]:
    """Points of a version's chunks, or of those it shares with another version."""
    mine = select(VersionChunk.chunk_id).where(VersionChunk.version_id == version)
    wanted = select(Chunk.document_id, Chunk.hash, Chunk.ordinal).where(Chunk.id.in_(mine))
    if also is not None:
        wanted = wanted.where(Chunk.id.in_(select(VersionChunk.chunk_id).where(VersionChunk.version_id == also)))
    return [point_id(generation, document, name, ordinal) for document, name, ordinal in session.execute(wanted)]


def _commit(session: Session, generation: LiveGeneration, works: Sequence[_Work]) -> bool:
    """Swaps the new versions in: one transaction, after which readers see them and the old ones are garbage.

    False, and nothing done, where another generation went live since: the versions have no points there yet.
    """
    live = select(Generation.id).where(Generation.id == generation.id, Generation.state == LIVE)
    if session.scalar(live.with_for_update(read=True)) is None:
        return False
    documents = select(Document).where(Document.id.in_([work.document for work in works])).order_by(Document.id)
    locked = {one.id: one for one in session.scalars(documents.with_for_update())}  # an admin may just move one
    for work in works:
        _swap(session, locked[work.document], work)
    return True


def _swap(session: Session, document: Document, work: _Work) -> None:
    settle(session, Item, work.held, state="done", lease_until=None, error_code=None, error_detail=None)
    version = session.get_one(DocumentVersion, work.version)
    item = session.get_one(Item, work.held.id)
    if document.version_id is not None:
        _outdate(session, document, work)
        session.execute(update(DocumentVersion).where(DocumentVersion.id == document.version_id).values(state="old"))
    document.version_id, version.state = version.id, "current"
    document.source_version, document.content_hash = version.source_version, version.content_hash
    target = document.pending_node_id or item.payload["target"]
    move(session, document, target)
    if target != work.acl:
        item.stage, item.state = "place", "pending"
    upload = item.payload["data"].get("upload")
    if upload is not None:
        session.execute(delete(Upload).where(Upload.id == upload))


def _outdate(session: Session, document: Document, work: _Work) -> None:
    """Where facets or time change, points kept from the version before are out of date in other generations."""
    before = session.get_one(DocumentVersion, document.version_id)
    if facet_ids_known(session, before) != work.facets or seconds(before) != work.modified:
        outdate(session, document.id)


def place_items(pipeline: Pipeline, claims: Sequence[Claim]) -> None:
    """Moves the points of documents that stand under another node now; no vector is written."""
    for held in claims:
        try:
            _place(pipeline, held)
        except LeaseLostError:
            logger().info("item.lost", stage="place")
        except AmbitError as error:
            close_failed(pipeline, held, error, stage="place")
        except Exception as error:  # noqa: BLE001 - the edge of a stage
            close_failed(pipeline, held, unexpected(error), stage="place")
    pipeline.wake("finish")


def _place(pipeline: Pipeline, held: Claim) -> None:
    generation = pipeline.stack.generation()
    _widen(pipeline, held)
    with pipeline.db.read() as session:
        item = session.get_one(Item, held.id)
        document = session.get_one(Document, item.document_id)
        number, node = document.id, document.node_id
        points = _points(session, generation.id, document.version_id) if document.version_id else []
    if points:
        pipeline.stack.index.place(generation.collection, points, acl=node)
    with pipeline.db.write() as session:
        moved_again = session.get_one(Document, number).node_id != node
        settle(session, Item, held, state="pending" if moved_again else "done", lease_until=None)


def _widen(pipeline: Pipeline, held: Claim) -> None:
    """Gives a document of unchanged text the wider audience that its run was let to give; once."""
    with pipeline.db.read() as session:
        if not session.get_one(Item, held.id).widens:
            return
    with pipeline.db.write() as session:
        settle(session, Item, held, widens=False)
        item = session.get_one(Item, held.id)
        document = session.get_one(Document, item.document_id)
        if document.pending_node_id == item.payload["target"]:
            move(session, document, item.payload["target"])
