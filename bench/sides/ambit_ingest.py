"""Ambit's whole embedded pipeline, SQL, access data and durable index writes included."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from api.runtime import Runtime
from bench.sides.asking import asked
from core.settings import Settings
from core.tables import Chunk, Run, Source
from ingest.runner import Runner
from ingest.runs import start_run
from policies.directory import put_user
from policies.epoch import bump
from policies.subject import Caller
from retrieve.model import Question


class TimedIndex:
    """The index, with the seconds spent in writes to it."""

    def __init__(self, index: Any) -> None:
        self._index, self.seconds = index, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def upsert(self, *arguments: Any) -> None:
        began = time.perf_counter()
        self._index.upsert(*arguments)
        self.seconds += time.perf_counter() - began


def main(files: str, data: str) -> None:
    settings = Settings(data_dir=Path(data), log_level="error")
    runtime = Runtime(settings)
    tenant = runtime.prepare()
    runtime.warm_up()
    timed = TimedIndex(runtime.stack.index)
    runtime.stack.__dict__["_index"] = timed
    register(runtime, tenant, "pages", files)
    runner = Runner(runtime.pipeline)
    runner.start()
    first = sync(runtime)
    with runtime.db.read() as session:
        chunks = session.scalar(select(func.count()).select_from(Chunk))
    runner.stop()
    caller = reader(runtime, tenant)
    took = asked(lambda text: runtime.retriever.retrieve(caller, Question(text, top_k=10)).passages)
    runtime.close()
    print(json.dumps({"seconds": first, "chunks": chunks, "store_s": timed.seconds, "query_ms_p50": took}))


def reader(runtime: Runtime, tenant: int) -> Caller:
    """Somebody who may read everything."""
    with runtime.db.write() as session:
        put_user(session, tenant, "reader")
    return Caller(tenant, "reader")


def register(runtime: Runtime, tenant: int, key: str, files: str) -> None:
    """A folder that everyone may read."""
    with runtime.db.write() as session:
        session.add(
            Source(
                tenant_id=tenant,
                key=key,
                connector="folder",
                config={"path": files},
                access={"allow": ["everyone"]},
                epoch_from=bump(session, tenant),
            )
        )


def sync(runtime: Runtime, key: str = "pages") -> float:
    """Seconds from the start of a source's sync to its end."""
    began = time.perf_counter()
    with runtime.db.write() as session:
        run = start_run(session, session.scalars(select(Source).where(Source.key == key)).one()).id
    runtime.pipeline.wake("list")
    while True:
        with runtime.db.read() as session:
            state = session.scalar(select(Run.state).where(Run.id == run))
        if state in ("succeeded", "partial", "failed"):
            break
        time.sleep(0.05)
    if state != "succeeded":
        raise RuntimeError(f"the sync ended as {state}")
    return time.perf_counter() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
