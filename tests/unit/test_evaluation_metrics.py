"""Metrics against values worked out by hand as trec_eval does, and what is said about chance."""

from __future__ import annotations

import math

import pytest

from core.errors import SettingError
from evaluation.metrics import compare, score, summarise

QRELS = {"q1": {"a": 1, "b": 2, "c": 0}, "q2": {"d": 1}, "q3": {"e": 1}}


def test_values_are_those_of_trec_eval() -> None:
    found = score(QRELS, {"q1": ["x", "b", "a", "c"], "q2": ["d"], "q4": ["a"]})
    gain = 2 / math.log2(3) + 1 / math.log2(4)
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    assert found["ndcg10"] == {"q1": pytest.approx(gain / ideal), "q2": pytest.approx(1.0), "q3": 0.0}
    assert found["mrr"] == {"q1": pytest.approx(0.5), "q2": 1.0, "q3": 0.0}
    assert found["recall10"] == {"q1": 1.0, "q2": 1.0, "q3": 0.0}


def test_cutoffs_count_places() -> None:
    ranked = [f"x{n}" for n in range(10)] + ["d"]
    found = score({"q2": {"d": 1}}, {"q2": ranked})
    assert (found["recall10"]["q2"], found["recall100"]["q2"], found["ndcg10"]["q2"]) == (0.0, 1.0, 0.0)
    assert found["mrr"]["q2"] == pytest.approx(1 / 11)


def test_the_order_given_decides_and_a_repetition_counts_once() -> None:
    assert score({"q": {"a": 1}}, {"q": ["z", "a"]})["mrr"]["q"] == pytest.approx(0.5)
    assert score({"q": {"z": 1}}, {"q": ["a", "a", "a", "z"]})["mrr"]["q"] == pytest.approx(0.5)


def test_an_interval_holds_the_mean_and_narrows_with_more_queries() -> None:
    few = {"ndcg10": {str(n): float(n % 2) for n in range(10)}}
    many = {"ndcg10": {str(n): float(n % 2) for n in range(1000)}}
    small, large = summarise(few)["ndcg10"], summarise(many)["ndcg10"]
    assert small.low < 0.5 < small.high
    assert small.mean == large.mean == 0.5
    assert large.high - large.low < (small.high - small.low) / 5
    assert summarise(few) == summarise(few)


def test_a_steady_gain_is_significant_and_noise_is_not() -> None:
    base = {"ndcg10": {str(n): 0.4 for n in range(60)}}
    better = {"ndcg10": {str(n): 0.45 for n in range(60)}}
    noisy = {"ndcg10": {str(n): 0.4 + (0.2 if n % 2 else -0.2) for n in range(60)}}
    gain, noise = compare(better, base)["ndcg10"], compare(noisy, base)["ndcg10"]
    assert gain.p < 0.001
    assert gain.low > 0
    assert (gain.better, gain.worse) == (60, 0)
    assert noise.p > 0.5
    assert noise.low < 0 < noise.high


def test_runs_that_do_not_differ_have_p_one() -> None:
    base = {"ndcg10": {"a": 0.3, "b": 0.7}}
    assert compare(base, base)["ndcg10"].p == pytest.approx(1.0)


def test_other_queries_are_no_baseline() -> None:
    with pytest.raises(SettingError):
        compare({"ndcg10": {"a": 1.0}}, {"ndcg10": {"b": 1.0}})
