"""Large installations without encoding: real SQL rows and a real index, with random unit vectors and real BM25 weights.

What a search and its checks cost depends on how many points, nodes and documents there are, not on what the vectors
mean. `staff` reads every folder; `reader-N` reads N per cent of the folders.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, insert, select
from sqlalchemy.orm import Session

from api.runtime import Runtime
from bench.texts import questions, sentence
from core.ids import chunk_hash, point_id, public_id
from core.tables import AclNode, Chunk, ChunkPoint, Document, DocumentVersion, Source, Tenant, VersionChunk
from embed.index.base import Payload, Point
from embed.sparse import SparseEncoder
from policies.directory import put_group, put_user, set_containers
from policies.epoch import bump
from policies.model import access_spec
from policies.nodes import put_container

CHUNKS_PER_DOCUMENT = 10
FOLDERS = 200
SHARES = (1, 10, 50)
_BATCH = 2000
_SENTENCES = 8


@dataclass(frozen=True)
class Kept:
    """What was stored, for an exact search beside the index: row by row a vector, its chunk and its node."""

    vectors: NDArray[np.float32]
    chunks: NDArray[np.int64]
    nodes: NDArray[np.int64]


def build(runtime: Runtime, tenant: int, chunks: int, *, seed: int = 11) -> Kept:
    """Fills an empty installation with `chunks` chunks in documents of ten, spread over 200 folders."""
    places = _places(runtime, tenant)
    chance, vectors = random.Random(seed), np.random.default_rng(seed)
    stored, rows = [], []
    for start in range(0, chunks // CHUNKS_PER_DOCUMENT, _BATCH // CHUNKS_PER_DOCUMENT):
        numbers = range(start, min(start + _BATCH // CHUNKS_PER_DOCUMENT, chunks // CHUNKS_PER_DOCUMENT))
        texts = [_text(chance) for _ in range(len(numbers) * CHUNKS_PER_DOCUMENT)]
        with runtime.db.write() as session:
            batch = _documents(session, tenant, places, numbers, texts)
        stored.append(_index(runtime, tenant, places[0], batch, vectors))
        rows += [(row["id"], row["node"]) for row in batch]
    pairs = np.array(rows, dtype=np.int64)
    return Kept(np.concatenate(stored), pairs[:, 0], pairs[:, 1])


def unit_vectors(chance: np.random.Generator, count: int, dimension: int) -> NDArray[np.float32]:
    """Vectors of length 1 in random directions."""
    dense = chance.standard_normal((count, dimension)).astype(np.float32)
    return np.asarray(dense / np.linalg.norm(dense, axis=1, keepdims=True), dtype=np.float32)


def _index(
    runtime: Runtime, tenant: int, source: int, rows: Sequence[dict[str, Any]], chance: np.random.Generator
) -> NDArray[np.float32]:
    generation = runtime.stack.generation()
    sparse = SparseEncoder(generation.sparse)
    dense = unit_vectors(chance, len(rows), generation.dimension)
    points = [
        Point(
            point_id(generation.id, row["document_id"], row["hash"], 0),
            dense[place],
            sparse.encode_passage(row["text"]),
            Payload(tenant, source, row["document_id"], row["id"], row["node"]),
        )
        for place, row in enumerate(rows)
    ]
    runtime.stack.index.upsert(generation.collection, points)
    with runtime.db.write() as session:
        session.execute(insert(ChunkPoint), [{"generation_id": generation.id, "chunk_id": row["id"]} for row in rows])
    return dense


def queries(count: int, *, seed: int = 5) -> list[str]:
    """Questions in the words of the corpus."""
    return questions(count, seed=seed)


def _text(chance: random.Random) -> str:
    return " ".join(sentence(chance) for _ in range(_SENTENCES))


def _places(runtime: Runtime, tenant: int) -> tuple[int, list[int]]:
    """A source whose folders are each open to `group:staff` and, by share, to further groups."""
    with runtime.db.write() as session:
        for group in ("staff", *(f"share-{share}" for share in SHARES)):
            put_group(session, tenant, group)
        for user, group in [("staff", "staff"), *((f"reader-{share}", f"share-{share}") for share in SHARES)]:
            put_user(session, tenant, user)
            set_containers(session, tenant, f"user:{user}", [group])
        source = Source(
            tenant_id=tenant, key="bench", connector="push", config={}, access={}, epoch_from=bump(session, tenant)
        )
        session.add(source)
        session.flush()
        root = _node(session, source, "", None, ["group:staff"])
        nodes = [_node(session, source, f"f{number}", root.id, _allowed(number)).id for number in range(FOLDERS)]
        return source.id, nodes


def _node(session: Session, source: Source, key: str, parent: int | None, allow: Sequence[str]) -> AclNode:
    return put_container(
        session,
        session.get_one(Tenant, source.tenant_id),
        source.id,
        key=key,
        parent=parent,
        title=key,
        spec=access_spec(allow, mode="inherit" if parent else "break"),
    )


def _allowed(folder: int) -> list[str]:
    """The first per cent of the folders is open to `share-1`, and so on."""
    return [f"group:share-{share}" for share in SHARES if folder * 100 < share * FOLDERS]


def _documents(
    session: Session, tenant: int, places: tuple[int, Sequence[int]], numbers: range, texts: Sequence[str]
) -> list[dict[str, Any]]:
    """Inserts documents with their one version and chunks; returns the chunks with their documents' nodes."""
    source, nodes = places
    documents = [
        {
            "public_id": public_id("doc"),
            "tenant_id": tenant,
            "source_id": source,
            "external_id": str(number),
            "node_id": nodes[number % len(nodes)],
            "epoch_from": 1,
        }
        for number in numbers
    ]
    session.execute(insert(Document), documents)
    names = [one["public_id"] for one in documents]
    ids = _pairs(session, select(Document.public_id, Document.id).where(Document.public_id.in_(names)))
    session.execute(insert(DocumentVersion), [_version(tenant, ids[name]) for name in names])
    owned = DocumentVersion.document_id.in_(list(ids.values()))
    versions = _pairs(session, select(DocumentVersion.document_id, DocumentVersion.id).where(owned))
    for document, version in versions.items():
        session.get_one(Document, document).version_id = version
    rows = list(_chunks(tenant, [(ids[one["public_id"]], one["node_id"]) for one in documents], texts))
    session.execute(insert(Chunk), [{key: row[key] for key in row if key not in ("node", "position")} for row in rows])
    chunks = _pairs(session, select(Chunk.hash, Chunk.id).where(Chunk.document_id.in_(list(ids.values()))))
    placed = []
    for row in rows:
        row["id"] = chunks[row["hash"]]
        placed.append({"version_id": versions[row["document_id"]], "position": row["position"], "chunk_id": row["id"]})
    session.execute(insert(VersionChunk), placed)
    return rows


def _pairs(session: Session, statement: Select[Any]) -> dict[Any, Any]:
    return {row[0]: row[1] for row in session.execute(statement)}


def _version(tenant: int, document: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "document_id": document,
        "state": "current",
        "content_hash": str(document),
        "title": f"Record {document}",
        "uri": f"bench:{document}",
        "mime": "text/plain",
        "size": 0,
    }


def _chunks(tenant: int, documents: Sequence[tuple[int, int]], texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    for place, text in enumerate(texts):
        document, node = documents[place // CHUNKS_PER_DOCUMENT]
        yield {
            "tenant_id": tenant,
            "document_id": document,
            "hash": chunk_hash(f"{document}/{place}/{text}"),
            "ordinal": 0,
            "context": "",
            "text": text,
            "tokens": 150,
            "node": node,
            "position": place % CHUNKS_PER_DOCUMENT,
        }
