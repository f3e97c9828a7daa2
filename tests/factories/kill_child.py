"""The process that is killed: it opens an installation, syncs its folder to the end, and ends with 0."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sqlalchemy import select

from core.tables import Source
from ingest.runner import Runner
from ingest.runs import start_run
from tests.factories.encoders import WordEncoder
from tests.factories.installation import ENDED, Installation


def main(data: str, delay: str) -> None:
    place = Installation(Path(data), encoder=WordEncoder(float(delay)))
    place.runtime.warm_up()
    runner = Runner(place.runtime.pipeline)
    runner.start()
    print("ready", flush=True)
    with place.db.write() as session:
        run = start_run(session, session.scalars(select(Source)).one()).id
    while place.run(run).state not in ENDED:
        time.sleep(0.02)
    runner.stop()
    while place.open_items():
        raise SystemExit("items are left")
    place.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
