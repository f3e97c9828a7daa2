"""What both sides of the encoding benchmark share: the data, the clock, and nDCG@10 by the vectors alone."""

from __future__ import annotations

import csv
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 2
Encode = Callable[[Sequence[str]], Any]


def measure(data: Path, most: int, passages: Encode, query: Callable[[str], Any]) -> dict[str, Any]:
    """Speed over the first `most` documents (0: all), latency of single queries, and nDCG@10."""
    corpus = rows(data / "corpus.jsonl")[: most or None]
    queries = rows(data / "queries.jsonl")
    texts = [f"{one['title']}\n\n{one['text']}".strip() for one in corpus]
    passages(texts[:16])
    query("warm")
    began = time.perf_counter()
    vectors = np.asarray(passages(texts), np.float32)
    seconds = time.perf_counter() - began
    asked, taken = [], []
    for one in queries:
        start = time.perf_counter()
        asked.append(np.asarray(query(one["text"]), np.float32))
        taken.append((time.perf_counter() - start) * 1000)
    found = ndcg10(np.stack(asked) @ vectors.T, corpus, queries, judgements(data / "qrels.tsv"))
    return {
        "texts_per_s": round(len(texts) / seconds, 2),
        "query_ms_p50": round(statistics.median(taken), 2),
        "ndcg10": round(found, 5),
    }


def rows(path: Path) -> list[dict[str, Any]]:
    """Lines of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def judgements(path: Path) -> dict[str, dict[str, int]]:
    """Grades by query and document, from a BEIR qrels file."""
    graded: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            graded.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return graded


def ndcg10(scores: Any, corpus: list[dict[str, Any]], queries: list[dict[str, Any]], graded: dict[str, Any]) -> float:
    """Mean over the queries that have a relevant document in the corpus; gains are the grades, as in trec_eval."""
    names = [one["_id"] for one in corpus]
    known = set(names)
    values = []
    for row, one in zip(scores, queries, strict=True):
        grades = {name: grade for name, grade in graded.get(one["_id"], {}).items() if name in known and grade > 0}
        if not grades:
            continue
        best = np.argsort(-row, kind="stable")[:10]
        values.append(_dcg([grades.get(names[place], 0) for place in best]) / _dcg(sorted(grades.values())[::-1][:10]))
    return statistics.fmean(values)


def _dcg(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 2) for rank, grade in enumerate(grades))
