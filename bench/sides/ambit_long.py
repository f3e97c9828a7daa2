"""Long documents through the whole pipeline, then the encoder alone on the same texts; then one edited paragraph."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from api.runtime import Runtime
from bench.sides.ambit_ingest import register, sync
from core.settings import Settings
from core.tables import Chunk, ChunkPoint, Document, Source, VersionChunk
from ingest.model import encoder_input
from ingest.runner import Runner
from ingest.runs import start_run
from policies.directory import put_user
from policies.subject import Caller
from retrieve.model import Question

EDIT = "The amendment names the zirconium gasket of Upper Tolkham as the only permitted part."


def main(files: str, edited: str, data: str) -> None:
    runtime = Runtime(Settings(data_dir=Path(data), log_level="error"))
    tenant = runtime.prepare()
    runtime.warm_up()
    with runtime.db.write() as session:
        put_user(session, tenant, "reader")
    runner = Runner(runtime.pipeline)
    runner.start()
    register(runtime, tenant, "edited", edited)  # first, so that parsers and the language model are up
    sync(runtime, "edited")
    register(runtime, tenant, "long", files)
    seconds = sync(runtime, "long")
    with runtime.db.read() as session:
        of_long = Document.source_id.in_(select(Source.id).where(Source.key == "long"))
        chunks = session.scalars(select(Chunk).join(Document, Document.id == Chunk.document_id).where(of_long)).all()
        texts = [encoder_input(one.context, one.text) for one in chunks]
    began = time.perf_counter()
    runtime.stack.encoder.encode_passages(texts)
    alone = time.perf_counter() - began
    found = edit(runtime, tenant, next(Path(edited).iterdir()))
    runner.stop()
    runtime.close()
    print(json.dumps({"seconds": seconds, "encoder_s": alone, "chunks": len(texts), **found}))


def edit(runtime: Runtime, tenant: int, path: Path) -> dict[str, Any]:
    """Changes one paragraph in the middle, and waits until a reader is answered from it."""
    paragraphs = path.read_text(encoding="utf-8").split("\n\n")
    paragraphs[len(paragraphs) // 2] = EDIT
    path.write_text("\n\n".join(paragraphs), encoding="utf-8")
    before = points(runtime)
    with runtime.db.read() as session:
        whole = session.scalar(select(func.max(VersionChunk.position))) or 0
    caller, question = Caller(tenant, "reader"), Question("zirconium gasket of Upper Tolkham", top_k=1)
    runtime.retriever.retrieve(caller, question)
    began = time.perf_counter()
    with runtime.db.write() as session:
        start_run(session, session.scalars(select(Source).where(Source.key == "edited")).one())
    runtime.pipeline.wake("list")
    while not any("zirconium" in one.text for one in runtime.retriever.retrieve(caller, question).passages):
        time.sleep(0.01)
    answerable = time.perf_counter() - began
    return {"document_chunks": whole + 1, "embedded": points(runtime) - before, "answerable_s": answerable}


def points(runtime: Runtime) -> int:
    """The last chunk that got a point: ids are never reused, so the difference counts what was embedded."""
    with runtime.db.read() as session:
        return session.scalar(select(func.max(Chunk.id)).join(ChunkPoint, ChunkPoint.chunk_id == Chunk.id)) or 0


if __name__ == "__main__":
    main(*sys.argv[1:])
