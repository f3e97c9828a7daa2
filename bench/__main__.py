"""`python -m bench [NAME]`: run all benchmarks or one; each ends with a line `BENCH {json}` and writes its result."""

from __future__ import annotations

import importlib
import sys

from bench.report import publish

NAMES = (
    "start", "ingest", "peers", "fairness", "worker_memory", "scaling", "encode", "quality", "filings", "handbook",
    "search", "retrieve", "access", "recall", "revocation",
)  # fmt: skip


def main(names: list[str]) -> int:
    """Runs the named benchmarks, all where none is named."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        publish(name, importlib.import_module(f"bench.{name}").run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
