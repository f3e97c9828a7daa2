"""`ambit serve` as it is; at its end it tells which heavy libraries it had loaded."""

from __future__ import annotations

import atexit
import json
import sys
from pathlib import Path

from cli.main import app

HEAVY = ("torch", "llama_index", "transformers", "sentence_transformers", "unstructured", "qdrant_client", "pandas")


def main(data: str, port: str, told: str) -> None:
    def tell() -> None:
        Path(told).write_text(json.dumps([name for name in HEAVY if name in sys.modules]), encoding="utf-8")

    atexit.register(tell)
    app(["--data-dir", data, "serve", "--port", port], standalone_mode=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
