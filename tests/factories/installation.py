"""A whole installation for tests: real SQL, the real index, the real pipeline; the encoder may be the small one."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import select

from api.runtime import Runtime
from core.settings import Settings
from core.tables import Chunk, ChunkPoint, Document, DocumentVersion, Item, Run, Source, VersionChunk
from ingest.runs import start_run
from ingest.stages import STAGES
from policies.directory import put_group, put_user, set_containers
from policies.epoch import bump
from policies.subject import Caller
from retrieve.model import Passage, Question
from tests.factories.encoders import WordEncoder

ENDED = ("succeeded", "partial", "failed", "held", "cancelled")


class Installation:
    """One tenant with the sources that a test adds."""

    def __init__(self, data_dir: Path, *, encoder: Any = None, **settings: Any) -> None:
        self.settings = Settings(
            _env_file=None, data_dir=data_dir, log_level="error", encoder="word-hash", retry_base_s=0.01, **settings
        )
        self.runtime = Runtime(self.settings)
        self.encoder = encoder or WordEncoder()
        self.runtime.stack.__dict__["_encoder"] = self.encoder
        self.tenant = self.runtime.prepare()
        self.db = self.runtime.db

    def add_user(self, key: str, *groups: str) -> None:
        with self.db.write() as session:
            put_user(session, self.tenant, key)
            for group in groups:
                put_group(session, self.tenant, group)
            set_containers(session, self.tenant, f"user:{key}", groups)

    def add_source(self, key: str, connector: str, config: dict[str, Any], *, allow: Iterable[str] = ()) -> None:
        with self.db.write() as session:
            session.add(
                Source(
                    tenant_id=self.tenant,
                    key=key,
                    connector=connector,
                    config=config,
                    access={"allow": list(allow)},
                    epoch_from=bump(session, self.tenant),
                )
            )

    def add_folder(self, path: Path, *, key: str = "files", allow: Iterable[str] = ("everyone",)) -> None:
        self.add_source(key, "folder", {"path": str(path)}, allow=allow)

    def start(self, key: str = "files", *, kind: str = "content") -> int:
        with self.db.write() as session:
            return start_run(session, session.scalars(select(Source).where(Source.key == key)).one(), kind=kind).id

    def sync(self, key: str = "files", *, kind: str = "content", limit_s: float = 120.0) -> Run:
        """Starts a run and does all its work in this thread."""
        run = self.start(key, kind=kind)
        self.drain(limit_s=limit_s)
        return self.run(run)

    def crawl(self) -> Run:
        """One crawl of access data, and not yet what follows from it."""
        run = self.start(kind="permissions")
        while self.run(run).state in ("queued", "listing", "working"):
            for stage in ("list", "place", "finish"):
                STAGES[stage](self.runtime.pipeline)
        return self.run(run)

    def drain(self, *, limit_s: float = 120.0) -> None:
        """Does every stage in turn until nothing is left, not even what waits for a retry."""
        ends = time.monotonic() + limit_s
        while time.monotonic() < ends:
            busy = [step(self.runtime.pipeline) for step in STAGES.values()]
            if not any(busy) and not self.open_items():
                return
        raise AssertionError("the work did not end")

    def open_items(self) -> int:
        """Items that are not closed, of runs that go on, and listings that have not ended."""
        resting = select(Run.id).where(Run.state.in_(["held", "paused"]))
        waiting = (Item.state.in_(["pending", "leased", "waiting"]), Item.run_id.not_in(resting))
        with self.db.read() as session:
            items = session.scalars(select(Item.id).where(*waiting)).all()
            return len(items) + len(session.scalars(select(Run.id).where(Run.state.in_(["queued", "listing"]))).all())

    def run(self, run: int) -> Run:
        with self.db.read() as session:
            found = session.get_one(Run, run)
            session.expunge(found)
            return found

    def items(self, run: int) -> dict[str, Item]:
        with self.db.read() as session:
            rows = session.scalars(select(Item).where(Item.run_id == run)).all()
            session.expunge_all()
            return {row.external_id: row for row in rows}

    def search(self, user: str, text: str, *, top_k: int = 8) -> tuple[Passage, ...]:
        return self.runtime.retriever.retrieve(Caller(self.tenant, user), Question(text, top_k=top_k)).passages

    def documents(self) -> dict[str, str]:
        """The text that readers may be shown, by external id, for documents that have a current version."""
        with self.db.read() as session:
            rows = session.execute(
                select(Document.external_id, Chunk.text)
                .join(VersionChunk, VersionChunk.version_id == Document.version_id)
                .join(Chunk, Chunk.id == VersionChunk.chunk_id)
                .where(Document.state == "live")
                .order_by(Document.id, VersionChunk.position)
            ).all()
        found: dict[str, str] = {}
        for key, text in rows:
            found[key] = f"{found[key]}\n\n{text}" if key in found else text
        return found

    def check_consistent(self) -> None:
        """SQL and index agree: each current chunk has its point, under its document's node, and there is no other."""
        generation = self.runtime.stack.generation()
        with self.db.read() as session:
            rows = session.execute(
                select(Chunk.id, Document.id, Document.node_id)
                .join(VersionChunk, VersionChunk.chunk_id == Chunk.id)
                .join(Document, Document.version_id == VersionChunk.version_id)
            ).all()
            wanted = {chunk: (document, node) for chunk, document, node in rows}
            chunks = set(session.scalars(select(Chunk.id)))
            points = set(session.scalars(select(ChunkPoint.chunk_id)))
            versions = session.scalars(
                select(DocumentVersion.document_id).where(DocumentVersion.state == "current")
            ).all()
        found = list(self.runtime.stack.index.scan(generation.collection))
        assert {p.chunk: (p.document, p.acl) for _, p in found} == wanted
        assert len(found) == len(wanted)
        assert chunks == points == set(wanted)
        assert len(versions) == len(set(versions))

    def close(self) -> None:
        self.runtime.close()
