"""One worker process that does nothing but the parse stage, from the word to begin until nothing is left."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import SecretStr

from api.runtime import Runtime
from core.settings import Settings
from ingest.model import Content, Element
from ingest.parsing.language import language_of
from ingest.stages import parse_step


def main(data: str, url: str) -> None:
    settings = Settings(data_dir=Path(data), database_url=SecretStr(url), log_level="error", worker_threads=1)
    runtime = Runtime(settings)
    warm(runtime)
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    steps = 0
    while parse_step(runtime.pipeline):
        steps += 1
    runtime.close()
    print(json.dumps({"steps": steps}), flush=True)


def warm(runtime: Runtime) -> None:
    """What a worker has done long before: its parser, its tokenizer and the language model are up."""
    runtime.pipeline.parsers.parse(Content("warm.md", b"# Warm\n\nA sentence."))
    runtime.stack.tokenizer.count(["warm"])
    language_of([Element("text", "A sentence that is long enough to be recognised as one of English, for once.")])


if __name__ == "__main__":
    main(*sys.argv[1:])
