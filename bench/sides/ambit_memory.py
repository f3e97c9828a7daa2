"""The memory of a worker process while it takes thousands of small documents through every stage.

The vectors stand in a process of their own, as they do wherever Ambit serves, and are no part of the worker's memory.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

import psutil
from sqlalchemy import func, select

from api.runtime import Runtime
from bench.sides.ambit_ingest import register
from core.settings import Settings
from core.tables import Item, Source
from ingest.runner import Runner
from ingest.runs import start_run


def main(files: str, data: str, first: str, last: str) -> None:
    runtime = Runtime(Settings(data_dir=Path(data), log_level="error"), serving=True)
    tenant = runtime.prepare()
    runtime.warm_up()
    register(runtime, tenant, "files", files)
    runner = Runner(runtime.pipeline)
    runner.start()
    with runtime.db.write() as session:
        start_run(session, session.scalars(select(Source)).one())
    runtime.pipeline.wake("list")
    began = time.perf_counter()
    samples = {}
    for mark in (int(first), int(last)):
        while done(runtime) < mark:
            time.sleep(0.1)
        samples[mark] = settled()
    seconds = time.perf_counter() - began
    runner.stop()
    runtime.close()
    print(json.dumps({"at_first": samples[int(first)], "at_last": samples[int(last)], "seconds": seconds}))


def done(runtime: Runtime) -> int:
    """Documents that are in."""
    with runtime.db.read() as session:
        return session.scalar(select(func.count()).select_from(Item).where(Item.state == "done")) or 0


def settled() -> dict[str, float]:
    """MiB that are this process's own, and what of files is mapped; the least of ten looks, so that no batch is in."""
    gc.collect()
    looks = []
    for _ in range(10):
        looks.append(psutil.Process().memory_full_info())
        time.sleep(0.1)
    own = min(looks, key=lambda one: one.uss)
    return {"own_mb": own.uss / 2**20, "resident_mb": own.rss / 2**20}


if __name__ == "__main__":
    main(*sys.argv[1:])
