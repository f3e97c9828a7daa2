"""The page of benchmarks says where a peer wins, whatever is better: higher for rates, lower for time and memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import page

FIGURES = {
    "docs_per_s": 10.0,
    "docs_per_s_txtai": 12.0,
    "docs_per_s_haystack": 8.0,
    "peak_mb": 500,
    "peak_mb_txtai": 400,
    "peak_mb_llamaindex": 900,
    "at": {"query_ms_p50": 5.0, "query_ms_p50_haystack": 4.0, "query_ms_p50_llamaindex": 5.0},
    "ndcg10": 0.4,
    "ndcg10_sentence_transformers": 0.5,
}


def test_every_figure_in_which_a_peer_is_better_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "NAMES", ("peers",))
    (tmp_path / "peers.json").write_text(json.dumps({"name": "peers", **FIGURES}), "utf-8")
    assert page.peers_page().splitlines() == [
        "| benchmark | figure | Ambit | peer |",
        "|---|---|---|---|",
        "| peers | `docs_per_s_txtai` | 10.0 | 12.0 |",
        "| peers | `peak_mb_txtai` | 500 | 400 |",
        "| peers | `at.query_ms_p50_haystack` | 5.0 | 4.0 |",
        "| peers | `ndcg10_sentence_transformers` | 0.4 | 0.5 |",
    ]


def test_what_was_never_measured_is_not_told_as_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "NAMES", ("encode", "peers"))
    (tmp_path / "encode.json").write_text("{}", "utf-8")
    assert page.peers_page().splitlines()[0] == "Without a result as yet, so not compared: `peers`."
    (tmp_path / "peers.json").write_text("{}", "utf-8")
    assert page.peers_page() == "Among the results above, none."
