"""Data sets in the BEIR layout: read whole, or refused with the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.datasets import DatasetError, load

CORPUS = '{"_id": "a", "title": "Leave", "text": "Sixteen weeks."}\n{"_id": "b", "text": "Trains."}\n'
QUERIES = '{"_id": "q1", "text": "leave?"}\n{"_id": "q2", "text": "unjudged"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq1\ta\t2\nq1\tb\t0\n"


def write(folder: Path, *, corpus: str = CORPUS, queries: str = QUERIES, qrels: str = QRELS) -> Path:
    (folder / "corpus.jsonl").write_text(corpus)
    (folder / "queries.jsonl").write_text(queries)
    (folder / "qrels.tsv").write_text(qrels)
    return folder


def test_a_data_set_is_read(tmp_path: Path) -> None:
    found = load(write(tmp_path))
    assert {key: one.title for key, one in found.corpus.items()} == {"a": "Leave", "b": ""}
    assert found.queries == {"q1": "leave?"}
    assert found.qrels == {"q1": {"a": 2, "b": 0}}


def test_judgements_may_stand_where_beir_has_them(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels.tsv").rename(tmp_path / "qrels" / "test.tsv")
    assert load(tmp_path).qrels == {"q1": {"a": 2, "b": 0}}


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"corpus": "[]\n"}, "corpus.jsonl:1"),
        ({"corpus": CORPUS + "{\n"}, "corpus.jsonl:3"),
        ({"corpus": CORPUS + '{"_id": "a", "text": "again"}\n'}, "twice"),
        ({"corpus": '{"_id": "a"}\n'}, "no `text`"),
        ({"qrels": "q1\ta\tmuch\n"}, "qrels.tsv:1"),
        ({"qrels": "q1 a 1\n"}, "qrels.tsv:1"),
        ({"qrels": "q9\ta\t1\n"}, "q9"),
        ({"qrels": "q1\tz\t1\n"}, "z"),
        ({"qrels": "q1\ta\t0\n"}, "relevant"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, parts: dict[str, str], told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        load(write(tmp_path, **parts))


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (write(tmp_path) / missing).unlink()
    with pytest.raises(DatasetError, match=missing):
        load(tmp_path)
