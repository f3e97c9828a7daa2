"""A small source registered while a large one is being synced: how much of the large one is done when it is."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from sqlalchemy import func, select

from api.runtime import Runtime
from bench.sides.ambit_ingest import register
from core.settings import Settings
from core.tables import Item, Run, Source
from ingest.runner import Runner
from ingest.runs import start_run


def main(big: str, small: str, data: str) -> None:
    runtime = Runtime(Settings(data_dir=Path(data), log_level="error"))
    tenant = runtime.prepare()
    runtime.warm_up()
    register(runtime, tenant, "big", big)
    register(runtime, tenant, "small", small)
    runner = Runner(runtime.pipeline)
    runner.start()
    large = start(runtime, "big")
    while not done(runtime, large)[1]:
        time.sleep(0.05)
    began = time.perf_counter()
    little = start(runtime, "small")
    while state(runtime, little) not in ("succeeded", "partial", "failed"):
        time.sleep(0.05)
    finished, _, listed = done(runtime, large)
    result = {"big_done": finished, "big_listed": listed, "small_s": time.perf_counter() - began}
    runner.stop()
    runtime.close()
    print(json.dumps({**result, "small_state": state(runtime, little)}))


def start(runtime: Runtime, key: str) -> int:
    """Queues a sync of one source."""
    with runtime.db.write() as session:
        run = start_run(session, session.scalars(select(Source).where(Source.key == key)).one()).id
    runtime.pipeline.wake("list")
    return run


def state(runtime: Runtime, run: int) -> str:
    """Where a run stands."""
    with runtime.db.read() as session:
        return session.get_one(Run, run).state


def done(runtime: Runtime, run: int) -> tuple[int, bool, int]:
    """Items done, whether any is, and objects listed so far."""
    with runtime.db.read() as session:
        count = session.scalar(select(func.count()).select_from(Item).where(Item.run_id == run, Item.state == "done"))
        return count or 0, bool(count), session.get_one(Run, run).listed


if __name__ == "__main__":
    main(*sys.argv[1:])
