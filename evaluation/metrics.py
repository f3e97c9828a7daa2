"""Retrieval metrics for each query, by `ir-measures` (which calls trec_eval's own code), and what they say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import SettingError

METRICS = {"ndcg10": "nDCG@10", "recall10": "R@10", "recall100": "R@100", "mrr": "RR"}
"""Our names and those of `ir-measures`."""

RESAMPLES = 10_000
CONFIDENCE = 0.95
_SEED = 20
_AT_ONCE = 1000

Scores = Mapping[str, Mapping[str, float]]
"""For each metric, the value of each query."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A metric's mean over the queries with its bootstrap interval at 95 %."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one run is than another on the same queries.

    Attributes:
        p: two-sided, of a paired randomisation test: how often chance alone makes a difference this large.
        better, worse: queries on which it is.
    """

    mean: float
    low: float
    high: float
    p: float
    better: int
    worse: int


def score(qrels: Mapping[str, Mapping[str, int]], ranked: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Every metric of every judged query; a query without results scores 0.

    `ranked` holds document ids best first. Only the order counts: scores are made from it, since trec_eval breaks
    equal scores by id.

    Raises:
        SettingError: `ir-measures` is not installed.
    """
    try:
        import ir_measures  # only evaluation needs it, and it brings compiled code
    except ImportError:
        raise SettingError("evaluation needs ir-measures; install it with `pip install 'ambit[eval]'`") from None
    names = {ir_measures.parse_measure(theirs): ours for ours, theirs in METRICS.items()}
    run = {query: _descending(found) for query, found in ranked.items() if query in qrels}
    judged = {query: dict(grades) for query, grades in qrels.items()}
    values: dict[str, dict[str, float]] = {ours: dict.fromkeys(sorted(qrels), 0.0) for ours in METRICS}
    for one in ir_measures.iter_calc(list(names), judged, run):
        values[names[one.measure]][one.query_id] = float(one.value)
    return values


def _descending(found: Sequence[str]) -> dict[str, float]:
    return {document: float(len(found) - place) for place, document in enumerate(dict.fromkeys(found))}


def summarise(scores: Scores) -> dict[str, Mean]:
    """Mean and interval of each metric; the same for the same values."""
    return {name: _mean(_vector(values)) for name, values in scores.items()}


def compare(scores: Scores, baseline: Scores) -> dict[str, Difference]:
    """For each metric, `scores` minus `baseline`, query by query.

    Raises:
        SettingError: the two were not made of the same queries.
    """
    found = {}
    for name, values in scores.items():
        if name not in baseline or set(baseline[name]) != set(values):
            raise SettingError(f"the baseline has no {name} of the same queries; make it anew with --save")
        found[name] = _difference(_vector(values) - _vector(baseline[name]))
    return found


def _vector(values: Mapping[str, float]) -> NDArray[np.float64]:
    return np.array([values[query] for query in sorted(values)], dtype=np.float64)


def _mean(values: NDArray[np.float64]) -> Mean:
    low, high = _interval(values)
    return Mean(float(values.mean()), low, high)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The percentile bootstrap over queries."""
    chance = np.random.default_rng(_SEED)
    means = [
        values[chance.integers(0, len(values), (_AT_ONCE, len(values)))].mean(axis=1)
        for _ in range(RESAMPLES // _AT_ONCE)
    ]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return float(low), float(high)


def _difference(values: NDArray[np.float64]) -> Difference:
    low, high = _interval(values)
    return Difference(
        mean=float(values.mean()),
        low=low,
        high=high,
        p=_p_value(values),
        better=int((values > 0).sum()),
        worse=int((values < 0).sum()),
    )


def _p_value(values: NDArray[np.float64]) -> float:
    """Fisher's randomisation test: signs of the differences are turned at random; the observed turn counts as one."""
    observed = abs(float(values.sum())) - 1e-12
    chance = np.random.default_rng(_SEED)
    extreme = 0
    for _ in range(RESAMPLES // _AT_ONCE):
        signs = chance.choice((-1.0, 1.0), (_AT_ONCE, len(values)))
        extreme += int((np.abs(signs @ values) >= observed).sum())
    return (extreme + 1) / (RESAMPLES + 1)
