"""Encoding on the CPU against `SentenceTransformer.encode(batch_size=32)`: same texts, model and machine, one run."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.processes import side

CRANFIELD = Path(__file__).resolve().parents[2] / "shared" / "data" / "cranfield"
ROUNDS = 3
_BACKEND_TEXTS = 200


def run(texts: int = 0, rounds: int = ROUNDS, data: Path = CRANFIELD) -> dict[str, Any]:
    """Ratios of texts per second and of nDCG@10 (dense alone), query latency, and peak memory of each side.

    The sides take turns, so that a change of the machine's speed touches both. The export is made once before, as in
    an installation, and reported by itself. `texts` 0: the whole corpus. Each of Ambit's own backends is timed on the
    first 200 texts.
    """
    ours, peer = [], []
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as cache:
        began = time.perf_counter()
        export = side("ambit_encode", str(data), "export", cache)
        seconds = time.perf_counter() - began
        for _ in range(rounds):
            peer.append(side("sentence_transformers_encode", str(data), str(texts)))
            ours.append(side("ambit_encode", str(data), str(texts), cache))
        few = str(min(texts or _BACKEND_TEXTS, _BACKEND_TEXTS))
        backends = [side("ambit_encode", str(data), few, cache, one) for one in ("openvino", "torch")]
    return {
        **_compared(ours, peer),
        "backends": {one["backend"]: {"texts_per_s": one["texts_per_s"]} for one in backends},
        "first_start_with_export_s": round(seconds, 1),
        "first_start_with_export_peak_mb": export["peak_mb"],
    }


def _compared(ours: list[dict[str, Any]], peer: list[dict[str, Any]]) -> dict[str, Any]:
    ratios = [mine["texts_per_s"] / other["texts_per_s"] for mine, other in zip(ours, peer, strict=True)]
    return {
        "ratio_vs_sentence_transformers": round(statistics.median(ratios), 3),
        "ratios": [round(one, 3) for one in ratios],
        "ndcg_ratio": round(ours[0]["ndcg10"] / peer[0]["ndcg10"], 4),
        "ndcg10": ours[0]["ndcg10"],
        "ndcg10_sentence_transformers": peer[0]["ndcg10"],
        "peak_mb": max(one["peak_mb"] for one in ours),
        "peak_mb_sentence_transformers": max(one["peak_mb"] for one in peer),
        "texts_per_s": max(one["texts_per_s"] for one in ours),
        "texts_per_s_sentence_transformers": max(one["texts_per_s"] for one in peer),
        "query_ms_p50": min(one["query_ms_p50"] for one in ours),
        "query_ms_p50_sentence_transformers": min(one["query_ms_p50"] for one in peer),
        "backend": ours[0]["backend"],
        "reference_cosine": ours[0]["reference_cosine"],
    }
