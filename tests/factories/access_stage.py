"""Where worlds that change are played: an installation whose clock stands still and whose index is counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.tables import Chunk, Document, DocumentVersion, VersionChunk
from ingest.fill import fill
from tests.factories.installation import Installation
from tests.factories.stopped_clock import StoppedClock
from tests.factories.world import Built

WRITES = ("upsert", "place", "describe", "delete", "drop")


class CountedIndex:
    """The index, with every point that was written to it and how."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self.written: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._index, name)
        if name not in WRITES:
            return call

        def counted(collection: str, points: Any = (), **more: Any) -> Any:
            self.written += [(name, getattr(one, "id", one)) for one in points]
            return call(collection, points, **more)

        return counted


class Stage:
    """An installation whose clock a test moves and whose index counts; and what all machines on it have counted."""

    def __init__(self, installation: Installation) -> None:
        self.runtime = installation.runtime
        self.db = installation.db
        self.clock = StoppedClock(self.db)
        self.index = CountedIndex(self.runtime.stack.index)
        self.runtime.stack.__dict__["_index"] = self.index
        self.counted: Counter[str] = Counter()

    def publish(self, built: Built) -> None:
        """Gives every document that is not deleted a version of two chunks, with points."""
        with self.db.write() as session:
            for key, number in built.documents.items():
                row = session.get_one(Document, number)
                if row.state != "deleted":
                    self._publish(session, key, row)
            ids = session.scalars(select(Chunk.id).where(Chunk.document_id.in_(built.documents.values()))).all()
        assert fill(self.runtime.pipeline, self.runtime.stack.generation(), ids) == len(ids)

    def _publish(self, session: Session, key: str, row: Document) -> None:
        version = DocumentVersion(
            tenant_id=row.tenant_id, document_id=row.id, state="current", profiled=1,
            content_hash=key, title=key, uri=key, mime="text/plain", size=1,
        )  # fmt: skip
        session.add(version)
        session.flush()
        row.version_id = version.id
        for at in range(2):
            text = f"note {at} of {key} number {row.id}"
            chunk = Chunk(
                tenant_id=row.tenant_id, document_id=row.id, hash=f"{at}", ordinal=0, context="", text=text, tokens=6
            )
            session.add(chunk)
            session.flush()
            session.add(VersionChunk(version_id=version.id, position=at, chunk_id=chunk.id))
