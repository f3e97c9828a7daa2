"""docs/benchmarks.md from bench/results: every figure with its machine, versions, and how to have it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.__main__ import NAMES

RESULTS = Path(__file__).resolve().parent / "results"
_ABOUT = ("name", "machine", "versions", "date")


def benchmarks_page() -> str:
    """One section a result, by name."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    if not found:
        return "No benchmark has been run yet."
    return "\n".join(line for one in found for line in _section(one)).strip()


def peers_page() -> str:
    """Every comparison that a peer wins: a key that ends in a peer's name and is better than ours.

    Benchmarks without a result are named first: of them nothing is known.
    """
    absent = [f"`{name}`" for name in NAMES if not (RESULTS / f"{name}.json").is_file()]
    told = [f"Without a result as yet, so not compared: {', '.join(absent)}.", ""] if absent else []
    rows = []
    for path in sorted(RESULTS.glob("*.json")):
        rows += [(path.stem, *row) for row in _won(json.loads(path.read_text(encoding="utf-8")))]
    if not rows:
        return "\n".join([*told, "Among the results above, none."])
    lines = [*told, "| benchmark | figure | Ambit | peer |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | `{key}` | {ours} | {theirs} |" for name, key, ours, theirs in rows)])


def _section(result: Mapping[str, Any]) -> Iterator[str]:
    machine = result["machine"]
    yield f"### {result['name']}"
    yield ""
    yield (
        f"{result['date'][:10]}, {_processor(machine)}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"Python {machine['python']}. Again: `make bench NAME={result['name']}`."
    )
    yield ""
    yield "| figure | value |"
    yield "|---|---|"
    yield from (f"| `{key}` | {value} |" for key, value in _flat(result))
    yield ""
    yield "Versions: " + ", ".join(f"{name} {version}" for name, version in sorted(result["versions"].items())) + "."
    yield ""


def _processor(machine: Mapping[str, Any]) -> str:
    told = machine.get("vectors")
    return f"{machine['cpu']} ({told})" if told else str(machine["cpu"])


def _flat(result: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Figures with the path to each."""
    for key, value in result.items():
        if not before and key in _ABOUT:
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", _shown(value)


def _shown(value: Any) -> str:
    return " to ".join(str(one) for one in value) if isinstance(value, list) and len(value) == 2 else str(value)


def _won(result: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Pairs `x` and `x_<peer>` in which the peer's is better: higher for rates and recall, lower for all else."""
    flat = dict(_flat(result))
    for key, theirs in flat.items():
        ours = next((flat[own] for own in _shorter(key) if own in flat), None)
        if ours is None or key.startswith(("ratio", "throughput_ratio")):
            continue
        higher = key.split(".")[-1].startswith(("docs_per_s", "per_s", "texts_per_s", "ndcg", "recall", "chunks_per_s"))
        try:
            mine, other = float(ours), float(theirs)
        except ValueError:
            continue
        if mine != other and (other > mine) == higher and not key.startswith("chunks_"):
            yield key, ours, theirs


def _shorter(key: str) -> Iterator[str]:
    for peer in ("llamaindex", "haystack", "txtai", "sentence_transformers"):
        if key.endswith(f"_{peer}"):
            yield key.removesuffix(f"_{peer}")
