"""Ambit's encoder, by the backend it chooses or by one that is named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

from bench.sides.encoding import THREADS, measure
from core.settings import Settings
from embed.encoders.factory import make_encoder
from embed.encoders.verify import verify


def main(data: str, most: str, cache: str, backend: Literal["auto", "openvino", "torch"] = "auto") -> None:
    chosen = Settings(_env_file=None, encoder_cache=Path(cache), encoder_threads=THREADS, encoder_backend=backend)
    encoder = make_encoder(chosen)
    encoder.warm_up()
    cosine = verify(encoder)
    if most == "export":
        print(json.dumps({"backend": encoder.tag}))
        return
    result = measure(Path(data), int(most), encoder.encode_passages, encoder.encode_query)
    print(json.dumps({**result, "backend": encoder.tag, "reference_cosine": round(cosine or 0.0, 5)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
