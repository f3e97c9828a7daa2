"""The parse stage with 1, 2 and 4 worker processes over one queue in PostgreSQL: documents a second of each."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import func, select

from api.runtime import Runtime
from bench.databases import database
from bench.sides.ambit_ingest import register
from bench.texts import write_manuals
from core.settings import Settings
from core.tables import Item, Source
from ingest.runs import start_run
from ingest.stages import list_step

DOCUMENTS, SECTIONS = 400, 7
WORKERS = (1, 2, 4)


def run(documents: int = DOCUMENTS) -> dict[str, Any]:
    """Documents of some 25 chunks each that were fetched, parsed, split and stored, per second, and the ratios to 1."""
    rates = {}
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        files = Path(folder) / "files"
        write_manuals(files, documents, sections=SECTIONS)
        for workers in WORKERS:
            home = Path(folder) / f"data-{workers}"
            with database("postgresql", home) as url:
                listed(home, url, files)
                rates[workers] = documents / parsed(home, url, workers, documents)
    figures = {f"docs_per_s_{workers}": round(rate, 2) for workers, rate in rates.items()}
    return {
        "documents": documents,
        **figures,
        "speedup_2": round(rates[2] / rates[1], 2),
        "speedup_4": round(rates[4] / rates[1], 2),
    }


def listed(home: Path, url: str, files: Path) -> None:
    """A sync whose listing is over, with every item waiting to be parsed."""
    runtime = Runtime(Settings(data_dir=home, database_url=SecretStr(url), log_level="error"))
    tenant = runtime.prepare()
    register(runtime, tenant, "files", str(files))
    with runtime.db.write() as session:
        start_run(session, session.scalars(select(Source)).one())
    while list_step(runtime.pipeline):
        pass
    runtime.close()


def parsed(home: Path, url: str, workers: int, documents: int) -> float:
    """Seconds from the word to begin until the last worker found nothing more."""
    command = [sys.executable, "-m", "bench.sides.ambit_parse_worker", str(home), url]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(workers)
    ]
    for one in processes:
        assert one.stdout is not None
        if "ready" not in one.stdout.readline():
            raise RuntimeError("a worker did not start")
    began = time.perf_counter()
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in processes:
        one.wait()
    seconds = time.perf_counter() - began
    check(home, url, documents)
    return seconds


def check(home: Path, url: str, documents: int) -> None:
    """Every item is through the stage, none of them failed."""
    runtime = Runtime(Settings(data_dir=home, database_url=SecretStr(url), log_level="error"))
    with runtime.db.read() as session:
        through = session.scalar(select(func.count()).select_from(Item).where(Item.stage == "encode"))
    runtime.close()
    if through != documents:
        raise RuntimeError(f"{through} of {documents} documents are through the stage")


if __name__ == "__main__":
    print(run())
