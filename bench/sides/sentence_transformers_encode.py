"""The library by itself: `SentenceTransformer.encode(batch_size=32)`, the same model and threads."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from bench.sides.encoding import THREADS, measure
from embed.encoders.files import BUNDLED, find_model


def main(data: str, most: str) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(THREADS)
    model = SentenceTransformer(str(find_model(BUNDLED).folder), device="cpu")

    def passages(texts: object) -> object:
        return model.encode(list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False)

    def query(text: str) -> object:
        return model.encode(text, normalize_embeddings=True, show_progress_bar=False)

    print(json.dumps(measure(Path(data), int(most), passages, query)))


if __name__ == "__main__":
    main(*sys.argv[1:])
