"""Holds the index and asks the same question for the same person without pause, until its standard input ends.

Prints a line for each query: when it began and ended on the machine's monotonic clock, and the documents it was shown;
at last how often the index was written.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench.revocation_world import APP, PERSON, TEXT, runtime_of
from policies.subject import Caller
from retrieve.model import Question

WRITES = ("upsert", "place", "describe", "delete", "drop")


class CountedIndex:
    """The index, with the number of writes to it."""

    def __init__(self, index: Any) -> None:
        self._index, self.writes = index, 0

    def __getattr__(self, name: str) -> Any:
        self.writes += name in WRITES
        return getattr(self._index, name)


def main(url: str, folder: str, tenant: str) -> None:
    runtime = runtime_of(url, Path(folder))
    index = CountedIndex(runtime.stack.index)
    runtime.stack.__dict__["_index"] = index
    over = threading.Event()
    threading.Thread(target=_until_closed, args=(over,), daemon=True).start()
    caller, question = Caller(int(tenant), PERSON, APP), Question(TEXT, top_k=100)
    while not over.is_set():
        began = time.monotonic()
        shown = sorted({one.title for one in runtime.retriever.retrieve(caller, question).passages})
        sys.stdout.write(json.dumps({"began": began, "ended": time.monotonic(), "shown": shown}) + "\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps({"vector_writes": index.writes}) + "\n")
    sys.stdout.flush()
    runtime.close()


def _until_closed(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
