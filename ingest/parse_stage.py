"""The parse stage: fetch, parse and split one object, then store its chunks as a staged version."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.errors import AmbitError, LeaseLostError
from core.ids import chunk_hash
from core.jobs import Claim, backoff_s, settle
from core.tables import Chunk, Document, DocumentVersion, Item, Source, Upload, VersionChunk
from core.telemetry import logger
from ingest.batches import batched
from ingest.deletion import delete_documents, move
from ingest.model import ChunkDraft, Content, EmptyError, ItemError, ItemRef, Parsed, VanishedError
from ingest.parsing import parsed_from_elements
from ingest.parsing.language import language_of
from ingest.pipeline import Pipeline
from ingest.refs import load_ref
from ingest.runs import fail_item, postpone_item
from ingest.splitting import split


def parse_item(pipeline: Pipeline, held: Claim) -> None:
    """Takes one item through fetch, parse and split; every outcome is written under its lease."""
    try:
        _parse(pipeline, held)
    except LeaseLostError:
        logger().info("item.lost", stage="parse")
    except VanishedError as error:
        _vanished(pipeline, held, error)
    except EmptyError as error:
        _empty(pipeline, held, error)
    except AmbitError as error:
        close_failed(pipeline, held, error, stage="parse")
    except Exception as error:  # noqa: BLE001 - the edge of a stage: whatever went wrong is this item's alone
        close_failed(pipeline, held, unexpected(error), stage="parse")


def unexpected(error: Exception) -> ItemError:
    """An error nobody designed, as one that may pass; its class is told, its text may hold content and is not."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
    logger().error("item.unexpected", reason=f"{type(error).__name__} at {where}")
    return ItemError("item_unexpected", f"unexpected {type(error).__name__}; see the worker's log", transient=True)


def _parse(pipeline: Pipeline, held: Claim) -> None:
    with pipeline.db.read() as session:
        item = session.get_one(Item, held.id)
        source = session.get_one(Source, item.source_id)
        known = session.get_one(Document, item.document_id)
        body = _upload(session, item)
        before = _texts(session, known.version_id)
        session.expunge_all()
    if held.token > pipeline.settings.max_claims:
        raise ItemError("worker_lost", f"{item.external_id}: {held.token} workers were lost with it")
    ref = load_ref(item.payload)
    content = body or pipeline.connectors.open(source).fetch(ref)
    digest = name_content(content, ref, pipeline.structure)
    if digest == known.content_hash and known.version_id is not None:
        _same(pipeline, held, ref)
        return
    parsed = _structure(pipeline, content)
    size = pipeline.stack.chunk_tokens
    name = content.name if content.body is not None else ""
    drafts = split(parsed, pipeline.stack.tokenizer, max_tokens=size, name=name, previous=before)
    if not drafts:
        raise EmptyError(f"{ref.id}: there is no text in it")
    with pipeline.db.write() as session:
        version = _stage(session, known, ref, parsed, content_hash=digest, size=_size(content))
        store_chunks(session, version, drafts)
        settle(
            session,
            Item,
            held,
            stage="encode",
            state="pending",
            lease_until=None,
            attempts=0,
            version_id=version.id,
            note=parsed.note,
            error_code=None,
            error_detail=None,
        )
    pipeline.wake("encode")


def _texts(session: Session, version: int | None) -> frozenset[str]:
    """Texts of a version's chunks: where the new version can be cut alike, it is, and those are not encoded again."""
    if version is None:
        return frozenset()
    statement = select(Chunk.text).join(VersionChunk, VersionChunk.chunk_id == Chunk.id)
    return frozenset(session.scalars(statement.where(VersionChunk.version_id == version)))


def _structure(pipeline: Pipeline, content: Content) -> Parsed:
    if content.elements is not None:
        return parsed_from_elements(content)
    return pipeline.parsers.parse(content)


def _upload(session: Session, item: Item) -> Content | None:
    """Content that was pushed with the item."""
    data = item.payload["data"]
    if "upload" not in data:
        return None
    upload = session.get(Upload, data["upload"])
    if upload is None:
        raise ItemError("upload_missing", f"{item.external_id}: what was pushed is no longer kept; push it again")
    ref = load_ref(item.payload)
    return Content(
        name=data["name"], body=upload.body, mime=ref.mime, title=ref.title, attributes=data.get("attributes", {})
    )


def _drop_upload(session: Session, item: Item) -> None:
    """Lets go of pushed content that nothing will ask for again."""
    upload = item.payload["data"].get("upload")
    if upload is not None:
        session.execute(delete(Upload).where(Upload.id == upload))


def name_content(content: Content, ref: ItemRef, structure: str) -> str:
    """Names everything that decides the chunks of a document, so that equal names need no work."""
    digest = hashlib.blake2b(digest_size=16)
    shape = [structure, content.name, content.title or ref.title, content.mime]
    digest.update(json.dumps(shape).encode())
    if content.elements is not None:
        rows = [[e.kind, e.text, e.level, e.page, e.header] for e in content.elements]
        digest.update(json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    elif isinstance(content.body, Path):
        with content.body.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    else:
        digest.update(content.body or b"")
    return digest.hexdigest()


def _size(content: Content) -> int:
    if isinstance(content.body, Path):
        return content.body.stat().st_size
    if content.body is not None:
        return len(content.body)
    return sum(len(element.text) for element in content.elements or ())


def _stage(
    session: Session, document: Document, ref: ItemRef, parsed: Parsed, *, content_hash: str, size: int
) -> DocumentVersion:
    version = DocumentVersion(
        tenant_id=document.tenant_id,
        document_id=document.id,
        source_version=ref.version,
        content_hash=content_hash,
        title=parsed.title or ref.title,
        uri=ref.uri,
        mime=parsed.mime,
        language=parsed.language or language_of(parsed.elements),
        author=parsed.author,
        modified_at=parsed.modified_at or ref.modified_at,
        size=size,
        attributes=dict(parsed.attributes),
    )
    session.add(version)
    session.flush()
    return version


def store_chunks(session: Session, version: DocumentVersion, drafts: Sequence[ChunkDraft]) -> None:
    """Keeps each draft as a chunk of the document, the one already there where the text is the same."""
    seen: Counter[str] = Counter()
    keys: list[tuple[str, int]] = []
    for draft in drafts:
        name = chunk_hash(draft.encoder_input)
        keys.append((name, seen[name]))
        seen[name] += 1
    ids = _known_chunks(session, version.document_id, sorted(seen))
    fresh = [
        Chunk(
            tenant_id=version.tenant_id,
            document_id=version.document_id,
            hash=key[0],
            ordinal=key[1],
            context=draft.context,
            text=draft.text,
            tokens=draft.tokens,
        )
        for key, draft in zip(keys, drafts, strict=True)
        if key not in ids
    ]
    session.add_all(fresh)
    session.flush()
    ids |= {(chunk.hash, chunk.ordinal): chunk.id for chunk in fresh}
    session.add_all(
        VersionChunk(
            version_id=version.id,
            position=position,
            chunk_id=ids[key],
            page=draft.page,
            heading=draft.heading,
            kind=draft.kind,
        )
        for position, (key, draft) in enumerate(zip(keys, drafts, strict=True))
    )
    session.flush()


def _known_chunks(session: Session, document: int, hashes: Sequence[str]) -> dict[tuple[str, int], int]:
    found: dict[tuple[str, int], int] = {}
    for part in batched(hashes, 5000):
        rows = session.execute(
            select(Chunk.hash, Chunk.ordinal, Chunk.id).where(Chunk.document_id == document, Chunk.hash.in_(part))
        )
        found |= {(name, ordinal): id_ for name, ordinal, id_ in rows}
    return found


def _same(pipeline: Pipeline, held: Claim, ref: ItemRef) -> None:
    """The bytes are what they were: only the version's name, and perhaps the place, changes."""
    with pipeline.db.write() as session:
        item = session.get_one(Item, held.id)
        document = session.get_one(Document, item.document_id, with_for_update=True)
        session.refresh(item)  # an admin may just have given the document a place of its own
        _drop_upload(session, item)
        document.source_version = ref.version
        moved = move(session, document, document.pending_node_id or item.payload["target"])
        settle(
            session,
            Item,
            held,
            stage="place" if moved else item.stage,
            state="pending" if moved else "done",
            lease_until=None,
            note="content unchanged",
        )
    pipeline.wake("encode" if moved else "finish")


def _vanished(pipeline: Pipeline, held: Claim, error: VanishedError) -> None:
    with pipeline.db.write() as session:
        item = session.get_one(Item, held.id)
        settle(session, Item, held, state="done", lease_until=None, note=error.detail)
        if item.document_id is not None:
            delete_documents(session, item.tenant_id, [item.document_id])
    pipeline.wake("finish")


def _empty(pipeline: Pipeline, held: Claim, error: EmptyError) -> None:
    """Nothing to answer from: the document stays listed without a version."""
    with pipeline.db.write() as session:
        item = session.get_one(Item, held.id)
        settle(session, Item, held, state="skipped", lease_until=None, note=error.detail)
        _drop_upload(session, item)
        document = session.get_one(Document, item.document_id)
        version = item.payload["version"]
        node = document.pending_node_id or document.node_id
        delete_documents(session, item.tenant_id, [document.id])
        document.state, document.deleted_at, document.source_version = "live", None, version
        move(session, document, node)
    pipeline.wake("finish")


def close_failed(pipeline: Pipeline, held: Claim, error: AmbitError, *, stage: str) -> None:
    """Lets an item wait for another try while that can help; else closes it with the error's code."""
    try:
        _close_failed(pipeline, held, error, stage)
    except LeaseLostError:
        logger().info("item.lost", stage=stage)
    pipeline.wake("finish")


def _overtaken(pipeline: Pipeline, held: Claim, error: ItemError) -> None:
    """The object changed after it was listed: the next sync takes it, with the access it will have then."""
    with pipeline.db.write() as session:
        settle(session, Item, held, state="skipped", lease_until=None, note=error.detail)


def _close_failed(pipeline: Pipeline, held: Claim, error: AmbitError, stage: str) -> None:
    if isinstance(error, ItemError) and error.item_code == "item_changed":
        _overtaken(pipeline, held, error)
        return
    transient = error.item_transient if isinstance(error, ItemError) else error.transient
    code = error.item_code if isinstance(error, ItemError) else error.code
    with pipeline.db.write() as session:
        settle(session, Item, held, lease_until=None)
        item = session.get_one(Item, held.id)
        if transient and item.attempts + 1 < pipeline.settings.max_attempts:
            wait = backoff_s(item.attempts + 1, pipeline.settings.retry_base_s)
            postpone_item(item, code, error.detail, wait)
        else:
            fail_item(session, item, code, error.detail)
    logger().warning("item.failed", code=code, item=item.public_id, stage=stage, attempt=item.attempts)
