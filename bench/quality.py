"""Retrieval quality on labelled data sets: the default against each of its legs alone, with intervals.

Every folder below `AMBIT_BENCH_DATA` (else `../shared/data` beside the repository) in the BEIR layout is a data set.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.settings import Settings
from core.telemetry import configure_logging
from evaluation.datasets import load
from evaluation.results import Outcome
from evaluation.service import evaluate

ROOT = Path(__file__).parents[1]
SYSTEMS = ("default", "dense", "bm25")
METRICS = ("ndcg10", "recall10", "recall100", "mrr")


def run() -> dict[str, Any]:
    """Per data set and system the mean of each metric with its 95 % interval, and what the default adds."""
    settings = Settings(log_level="error")
    configure_logging(settings)
    found = {path.name: _measured(path, settings) for path in data_sets()}
    if not found:
        raise RuntimeError("no data set; set AMBIT_BENCH_DATA to a folder of folders in the BEIR layout")
    return found


def data_sets() -> list[Path]:
    """Folders that hold a labelled data set."""
    base = Path(os.environ.get("AMBIT_BENCH_DATA", ROOT.parent / "shared" / "data"))
    return sorted(one.parent for one in base.glob("*/corpus.jsonl"))


def _measured(path: Path, settings: Settings) -> dict[str, Any]:
    dataset = load(path)
    outcomes = {one.name: one for one in evaluate(dataset, settings, SYSTEMS)}
    default = outcomes["default"]
    best = max(("dense", "bm25"), key=lambda name: outcomes[name].means["ndcg10"].mean)
    return {
        **{name: _figures(one) for name, one in outcomes.items()},
        "about": dict(default.about),
        "better_leg": best,
        "default_minus_better_leg": {
            name: _rounded(asdict(one)) for name, one in default.against(outcomes[best]).items()
        },
    }


def _figures(outcome: Outcome) -> dict[str, Any]:
    means = outcome.means
    figures: dict[str, Any] = {name: round(means[name].mean, 4) for name in METRICS}
    figures["intervals"] = {name: [round(means[name].low, 4), round(means[name].high, 4)] for name in METRICS}
    return figures


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in values.items()}
