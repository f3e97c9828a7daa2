"""The proof of an erasure: SQL, the index and the files of the data folder, looked through for what was erased."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from core.errors import UnavailableError
from core.names import Form, Names, probe
from core.tables import (
    AclNode,
    Chunk,
    Document,
    DocumentVersion,
    Erasure,
    Generation,
    Item,
    Run,
    StateHistory,
    Tenant,
    Upload,
)
from core.traces import CONTENT, WRITTEN, find, searched, tables
from embed.generations import DROPPING
from ingest.erasure import reading
from ingest.pipeline import Pipeline

SAMPLE = 20


def look(pipeline: Pipeline, row: Erasure, names: Names, texts: Sequence[str]) -> dict[str, Any]:
    """What a scan for everything that was erased finds, and what it looked at.

    `left` counts by place what must not be there, `written` what an administrator has to change, `content` what
    documents say themselves; `copies` are documents that hold the same text.
    """
    with pipeline.db.read(row.tenant_id) as session:
        found = find(session, row.tenant_id, names)
        documents = _public(session, sorted(found.documents))
        copies = _copies(session, row.tenant_id, texts)
        rows = _rows(session, row)
        generations = session.execute(
            select(Generation.id, Generation.collection).where(Generation.state != DROPPING)
        ).all()
    quiet = bool(found.columns or copies) or _elsewhere(pipeline, row, names, texts)
    points = {one.collection: _points(pipeline, one.collection, row) for one in generations}
    files, holding = _files(pipeline, names, texts, quiet=quiet)
    left = {**found.beside(CONTENT | WRITTEN), **rows}
    left |= {f"index {name}": count for name, count in points.items() if count}
    left |= {f"file {name}": 1 for name in holding}
    return {
        "left": left,
        "written": found.of(WRITTEN),
        "content": found.of(CONTENT) | dict(sorted(found.maybe.items())),
        "documents": documents,
        "copies": copies,
        "scanned": {
            "tables": len(tables()),
            "columns": sum(len(searched(one)) for one in tables()),
            "collections": len(points),
            "files": files,
        },
    }


def clean(proof: dict[str, Any]) -> bool:
    """Whether nothing is left that must not be there, or that somebody has to change."""
    return not proof["left"] and not proof["written"]


def _public(session: Session, ids: Sequence[int]) -> list[str]:
    return list(session.scalars(select(Document.public_id).where(Document.id.in_(ids[:SAMPLE]))))


def _rows(session: Session, row: Erasure) -> dict[str, int]:
    """Rows that still hang on a document or source, by table."""
    if row.kind == "person":
        return {}
    if row.kind == "document":
        tied: list[Any] = [
            Document.id, DocumentVersion.document_id, Chunk.document_id, Item.document_id, AclNode.document_id,
        ]  # fmt: skip
    else:
        tied = [Document.source_id, Item.source_id, Run.source_id, Upload.source_id, AclNode.source_id]
    counts = {
        str(column.class_.__tablename__): session.scalar(
            select(func.count()).select_from(column.class_).where(column == row.subject_id)
        )
        for column in tied
    }
    states = (StateHistory.kind == row.kind, StateHistory.subject_id == row.subject_id)
    mine = (StateHistory.tenant_id == row.tenant_id, *states)
    counts["state_history"] = session.scalar(select(func.count()).select_from(StateHistory).where(*mine))
    return {name: count for name, count in counts.items() if count}


def _points(pipeline: Pipeline, collection: str, row: Erasure) -> int:
    """Points of what was erased that a collection still holds."""
    if row.kind == "person":
        return 0
    return sum(
        (one.document if row.kind == "document" else one.source) == row.subject_id
        for _, one in pipeline.stack.index.scan(collection)
    )


def _copies(session: Session, tenant: int, texts: Sequence[str]) -> list[str]:
    """Public ids of other documents that hold a piece of the text, a few at most."""
    if not texts:
        return []
    holds = [Chunk.text.contains(one, autoescape=True) for one in texts]
    statement = (
        select(Document.public_id)
        .join(Chunk, Chunk.document_id == Document.id)
        .where(Document.tenant_id == tenant, Chunk.tenant_id == tenant, or_(*holds))
        .distinct()
        .limit(SAMPLE)
    )
    return sorted(session.scalars(statement))


def _elsewhere(pipeline: Pipeline, row: Erasure, names: Names, texts: Sequence[str]) -> bool:
    """Whether another tenant of the same file says so too, rightly."""
    if not pipeline.db.is_sqlite:
        return False
    with pipeline.db.read() as session:
        others = session.scalars(select(Tenant.id).where(Tenant.id != row.tenant_id)).all()
        return any(find(session, one, names).columns or _copies(session, one, texts) for one in others)


def _files(pipeline: Pipeline, names: Names, texts: Sequence[str], *, quiet: bool) -> tuple[int, list[str]]:
    """How many files of the data folder were read, and those that hold what was erased.

    The database's own files are not read where its tables still name it rightly (`quiet`), since that is in the files
    too. Another process reads: to open and close a file of SQLite's here would end this process's locks on it.
    """
    forms = [*names.forms, *(Form(re.escape(one), "", probe(one)) for one in texts)]
    asked = {
        "folder": str(pipeline.settings.data_dir),
        "skipped": ["keys", "encoders"],
        "database": _database(pipeline),
        "quiet": quiet,
        "wanted": [[one.probe, one.pattern] for one in forms],
    }
    reader = [sys.executable, str(Path(reading.__file__))]
    told_to = json.dumps(asked).encode()
    done = subprocess.run(reader, input=told_to, capture_output=True, check=False)  # noqa: S603 - our own file
    if done.returncode:
        raise UnavailableError("the files of the data folder could not be read; `ambit doctor` says what is wrong")
    told = json.loads(done.stdout)
    return told["files"], told["holding"]


def _database(pipeline: Pipeline) -> list[str]:
    """The files of an embedded database, wherever they are."""
    if not pipeline.db.is_sqlite:
        return []
    path = Path(pipeline.db.url.database or "").resolve()
    return [f"{path}{end}" for end in ("", "-wal", "-shm", "-journal")]
