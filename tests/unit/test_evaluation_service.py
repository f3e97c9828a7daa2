"""An evaluation from data set to report, through the real pipeline with a small encoder."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from core.db import Database
from core.errors import InvalidError
from core.settings import Settings
from embed.stack import VectorStack
from evaluation.datasets import Dataset, Text
from evaluation.report import render
from evaluation.results import Outcome, load_outcome
from evaluation.service import evaluate
from tests.factories.encoders import WordEncoder

TOPICS = ("leave", "trains", "pumps", "salaries", "gardens", "bridges")
DATASET = Dataset(
    name="tiny <b>",
    corpus={
        **{one: Text(one.title(), f"All about {one}.\n\nMore of {one} and rules.") for one in TOPICS},
        "empty": Text("", ""),
    },
    queries={f"q-{one}": f"rules of {one}" for one in TOPICS},
    qrels={f"q-{one}": {one: 1} for one in TOPICS},
)


def make_stack(settings: Settings, db: Database) -> VectorStack:
    stack = VectorStack(settings, db)
    stack.__dict__["_encoder"] = WordEncoder()
    return stack


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What an installation with data of its own measures; none of that data is touched."""
    home = tmp_path_factory.mktemp("own")
    settings = Settings(_env_file=None, data_dir=home, encoder="word-hash", log_level="error")
    assert settings.sql_url.startswith(f"sqlite:///{home}")
    found = evaluate(DATASET, settings, ("default", "dense", "bm25"), make_stack=make_stack)
    assert list(home.iterdir()) == []
    return found


def test_every_relevant_document_is_found(outcomes: list[Outcome]) -> None:
    assert [one.name for one in outcomes] == ["default", "dense", "bm25"]
    for one in outcomes:
        assert {name: mean.mean for name, mean in one.means.items()} == dict.fromkeys(one.means, 1.0)
    assert outcomes[0].about["documents"] == 7
    assert outcomes[0].about["encoder"] == "word-hash/numpy"


def test_an_outcome_is_kept_and_compared(outcomes: list[Outcome], tmp_path: Path) -> None:
    outcomes[0].save(tmp_path / "base.json")
    base = load_outcome(tmp_path / "base.json")
    assert base == replace(outcomes[0], about=dict(outcomes[0].about))
    assert outcomes[1].against(base)["ndcg10"].mean == 0.0
    with pytest.raises(InvalidError):
        outcomes[1].against(replace(base, dataset="other"))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 9, "took_ms": [0, 0]}'])
def test_a_file_of_another_kind_is_no_baseline(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InvalidError):
        load_outcome(tmp_path / "x.json")
    with pytest.raises(InvalidError):
        load_outcome(tmp_path / "none.json")


def test_the_report_stands_alone_and_escapes_names(outcomes: list[Outcome]) -> None:
    text = render(outcomes)
    assert "tiny &lt;b&gt;" in text
    assert "<b>" not in text
    assert not re.search(r"(?:src|href|url)\s*[=(]", text)
    assert "<script" not in text
    assert text.count("<svg") == 4 + 2
    json.dumps(text)


def test_an_unknown_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="magic"):
        evaluate(DATASET, Settings(_env_file=None, data_dir=tmp_path), ("magic",))
