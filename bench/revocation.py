"""Revocation across processes: one process changes SQL, another answers queries; what is taken is gone at once."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import databases
from bench.revocation_world import WAYS, World, build
from core.db import Database

REVOCATIONS = 1000
PATIENCE_S = 60.0


@dataclass
class Revoked:
    """What was seen on one database. `lags_ms`: from the return of each commit to the end of the first answer after
    it, which must be without the document; `leaks`: queries begun after the commit that still showed it.
    """

    lags_ms: list[float] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    queries: int = 0
    vector_writes: int = 0
    ways: int = 0


def run(revocations: int = REVOCATIONS) -> dict[str, Any]:
    """Leaks and the distribution of lags, on each database."""
    found: dict[str, Revoked] = {}
    for name in databases.NAMES:
        with tempfile.TemporaryDirectory(prefix="ambit-bench-") as path:
            folder = Path(path)
            with databases.database(name, folder) as url:
                found[name] = measure(url, folder / "data", revocations)
        print(f"{name}: {distribution(found[name])}", flush=True)
    lags = [one for each in found.values() for one in each.lags_ms]
    return {
        "revocations": len(lags),
        "leaks": sum(len(each.leaks) for each in found.values()),
        "lag_ms_p50": round(_share(lags, 50), 2),
        "lag_ms_p99": round(_share(lags, 99), 2),
        "vector_writes": sum(each.vector_writes for each in found.values()),
        "queries": sum(each.queries for each in found.values()),
        "ways": len(WAYS),
        **{name: distribution(each) for name, each in found.items()},
    }


def distribution(found: Revoked) -> dict[str, Any]:
    """How many, and how the lags are spread, in milliseconds."""
    spread = {f"lag_ms_p{share}": round(_share(found.lags_ms, share), 2) for share in (10, 50, 90, 99)}
    return {
        "revocations": len(found.lags_ms),
        "leaks": len(found.leaks),
        **spread,
        "lag_ms_max": round(max(found.lags_ms, default=0.0), 2),
        "queries": found.queries,
        "vector_writes": found.vector_writes,
    }


def measure(url: str, folder: Path, revocations: int) -> Revoked:
    """Takes a document away and gives it back so many times, each time in the next way."""
    folder.mkdir(parents=True, exist_ok=True)
    worlds = build(url, folder)
    tenant = next(iter(worlds.values())).tenant
    found = Revoked(ways=len(WAYS))
    database = Database(url)
    with _reader(url, folder, tenant) as reader:
        for way in itertools.islice(itertools.cycle(WAYS), revocations):
            _once(database, reader, worlds[way], found)
    database.close()
    found.queries, found.vector_writes = len(reader.seen), reader.vector_writes
    return found


def _once(database: Database, reader: _Reader, world: World, found: Revoked) -> None:
    """One revocation. Before it the document is seen, and after it is given back it is seen again."""
    reader.wait(lambda one: world.way in one["shown"], after=time.monotonic(), what=f"{world.way}: given")
    with database.write() as session:
        WAYS[world.way].lose(session, world)
    committed = time.monotonic()
    reader.wait(lambda one: one["began"] > committed, after=committed, what=f"{world.way}: taken", times=2)
    later = [one for one in reader.since(committed) if one["began"] > committed]
    found.leaks += [world.way for one in later if world.way in one["shown"]]
    without = [one["ended"] for one in reader.since(committed) if world.way not in one["shown"]]
    found.lags_ms.append(1000 * (min(without, default=time.monotonic()) - committed))
    with database.write() as session:
        WAYS[world.way].give(session, world)


def _share(values: list[float], share: int) -> float:
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


class _Reader:
    """The other process, and what it was shown."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.seen: list[dict[str, Any]] = []
        self.vector_writes = -1
        self._process = process
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def since(self, time_s: float) -> list[dict[str, Any]]:
        """Queries that ended after a time."""
        with self._news:
            return list(itertools.takewhile(lambda one: one["ended"] > time_s, reversed(self.seen)))

    def wait(self, wanted: Callable[[dict[str, Any]], bool], *, after: float, what: str, times: int = 1) -> None:
        """Waits until so many queries that ended after a time are as wanted."""

        def there() -> bool:
            late = itertools.takewhile(lambda one: one["ended"] > after, reversed(self.seen))
            return sum(map(wanted, late)) >= times or self._process.poll() is not None

        with self._news:
            if not self._news.wait_for(there, PATIENCE_S) or self._process.poll() is not None:
                raise RuntimeError(f"{what}: never seen; last: {self.seen[-1:]}")

    def end(self) -> None:
        """Lets the process end and reads what it says last."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._thread.join(PATIENCE_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._news:
                if "vector_writes" in told:
                    self.vector_writes = told["vector_writes"]
                else:
                    self.seen.append(told)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


@contextmanager
def _reader(url: str, folder: Path, tenant: int) -> Iterator[_Reader]:
    command = [sys.executable, "-m", "bench.sides.revocation_reader", url, str(folder), str(tenant)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        reader = _Reader(process)
        try:
            yield reader
            reader.end()
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
