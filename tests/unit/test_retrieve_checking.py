"""Questions that cannot be searched are refused with the field that is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import InvalidError
from core.settings import Settings
from retrieve.checking import checked
from retrieve.model import Question, Shape

SETTINGS = Settings(_env_file=None, data_dir=Path("unused"))


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (Question(""), "query"),
        (Question(" \t\n\u3000\u2003"), "query"),
        (Question("\x00\x01\x1b\x7f\x85"), "query"),
        (Question("a" * 100_000), "query"),
        (Question("x", top_k=0), "top_k"),
        (Question("x", top_k=-1), "top_k"),
        (Question("x", top_k=10_000), "top_k"),
        (Question("x", shape=Shape(per_document=0)), "per_document"),
        (Question("x", shape=Shape(per_source=-3)), "per_source"),
        (Question("x", shape=Shape(neighbour_tokens=-1)), "neighbour_tokens"),
        (Question("x", shape=Shape(neighbour_tokens=10**9)), "neighbour_tokens"),
        (Question("x", shape=Shape(recency_days=0)), "recency_days"),
        (Question("x", shape=Shape(recency_days=float("nan"))), "recency_days"),
    ],
)
def test_a_bad_question_names_its_field(question: Question, field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        checked(SETTINGS, question)
    assert [one["field"] for one in refused.value.extra["errors"]] == [field]
    assert refused.value.status == 422
    assert "a" * 50 not in refused.value.detail


@pytest.mark.parametrize(
    "text", ["the of and to", "Отпуск", "年次休暇は何日ですか", "إجازة", "🙂", "\ud800 lone", "a" * 8000]
)
def test_unusual_text_is_searched_as_it_is(text: str) -> None:
    assert checked(SETTINGS, Question(text)).text == text


def test_control_characters_are_spaces() -> None:
    assert checked(SETTINGS, Question("paid\x00leave\x1b\n")).text == "paid leave"


def test_history_is_taken_in_and_cut() -> None:
    question = Question("And in 2022?", history=["What was Apple's revenue?", "\x00" * 50_000])
    assert checked(SETTINGS, question).text == "And in 2022? Apple's revenue"
    assert checked(SETTINGS, replace(question, history=())).text == "And in 2022?"
