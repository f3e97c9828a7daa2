"""A first sync of many small files and a second one of the same: seconds of both, and the item rows of the second."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sqlalchemy import func, select

from api.runtime import Runtime
from bench.sides.ambit_ingest import register, sync
from core.settings import Settings
from core.tables import Item, Run
from ingest.runner import Runner


def main(files: str, data: str) -> None:
    runtime = Runtime(Settings(data_dir=Path(data), log_level="error"))
    tenant = runtime.prepare()
    runtime.warm_up()
    register(runtime, tenant, "files", files)
    runner = Runner(runtime.pipeline)
    runner.start()
    first = sync(runtime, "files")
    again = min(sync(runtime, "files") for _ in range(3))
    with runtime.db.read() as session:
        last = session.scalar(select(func.max(Run.id)))
        items = session.scalar(select(func.count()).select_from(Item).where(Item.run_id == last))
    runner.stop()
    runtime.close()
    print(json.dumps({"first_s": first, "again_s": again, "items_of_second": items}))


if __name__ == "__main__":
    main(*sys.argv[1:])
