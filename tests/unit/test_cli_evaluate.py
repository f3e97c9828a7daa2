"""`ambit eval retrieval`: figures of a labelled data set, a report, and a later run held against an earlier one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.factories.command_line import ambit
from tests.factories.encoders import WordEncoder

TOPICS = ("leave", "trains", "pumps", "salaries")


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set in the BEIR layout, judged as its authors have it: in `qrels/test.tsv`."""
    monkeypatch.setattr("embed.stack.make_encoder", lambda settings, model=None: WordEncoder())
    monkeypatch.setenv("AMBIT_ENCODER", "word-hash")
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": one, "title": one, "text": f"All about {one} and its rules."}) for one in TOPICS]
    queries = [json.dumps({"_id": f"q-{one}", "text": f"rules of {one}"}) for one in TOPICS]
    (folder / "corpus.jsonl").write_text("\n".join(corpus), "utf-8")
    (folder / "queries.jsonl").write_text("\n".join(queries), "utf-8")
    judged = "".join(f"q-{one}\t{one}\t1\n" for one in TOPICS)
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", "utf-8")
    return folder


def test_figures_a_report_and_a_baseline(tmp_path: Path, labelled: Path) -> None:
    home, saved, report = tmp_path / "data", tmp_path / "first.json", tmp_path / "report.html"
    kept = ("--save", str(saved), "--report", str(report))
    told = ambit(home, "--json", "eval", "retrieval", str(labelled), "--baseline", "bm25", *kept).json
    assert [one["name"] for one in told["outcomes"]] == ["default", "bm25"]
    for one in told["outcomes"]:
        assert set(one["metrics"]) == {"ndcg10", "recall10", "recall100", "mrr"}
        assert all(mean["low"] <= mean["mean"] <= mean["high"] for mean in one["metrics"].values())
    assert told["outcomes"][0]["metrics"]["ndcg10"]["mean"] == 1.0
    assert [(one["baseline"], one["metrics"]["ndcg10"]["p"]) for one in told["differences"]] == [("bm25", 1.0)]
    assert report.read_text("utf-8").count("<svg") > 4
    again = ambit(home, "eval", "retrieval", str(labelled), "--baseline", str(saved))
    assert "nDCG@10 against first: +0.0000" in again.out


def test_what_is_no_data_set_is_told(tmp_path: Path) -> None:
    told = ambit(tmp_path / "data", "--json", "eval", "retrieval", str(tmp_path))
    assert (told.status, told.json["code"]) == (2, "dataset_invalid")
    assert "corpus.jsonl" in told.json["detail"]
