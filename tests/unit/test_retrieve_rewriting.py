"""Follow-up questions are searched with what they lean on, and others are left alone."""

from __future__ import annotations

import pytest

from retrieve.rewriting import TURNS, leans, rewrite

REVENUE = "What was the revenue of Apple in 2021?"


@pytest.mark.parametrize(
    ("question", "history", "carried"),
    [
        ("And in 2022?", [REVENUE], {"Apple", "revenue"}),
        ("How about Corning?", [REVENUE], {"revenue", "2021"}),
        ("And in Q2?", [REVENUE, "How about Corning?"], {"Corning", "revenue"}),
        ("Who signs them?", ["How are travel expenses approved?"], {"travel", "expenses", "approved"}),
        ("Tell me more", [REVENUE], {"Apple", "revenue", "2021"}),
        ("它多少钱", ["价格"], {"价格"}),
        ("And fragrance?", ["What share of Quillon sales is skincare?"], {"Quillon", "share", "sales", "skincare"}),
        ('And "net debt"?', [REVENUE], {"revenue", "2021"}),
        ("And in Mexico?", ["How many warehouses does Costco have in Canada?"], {"Costco", "warehouses"}),
        ("What about Japan?", ["What net sales did Apple have in Greater China?"], {"Apple", "net", "sales"}),
        ("What about SG&A?", ["How did Quillon's gross profit develop?"], {"Quillon's", "gross", "profit", "develop"}),
        ("And EBITDA?", ["What was the ROCE of Quillon?"], {"Quillon"}),
    ],
)
def test_a_follow_up_carries_what_it_lacks(question: str, history: list[str], carried: set[str]) -> None:
    found = rewrite(question, history, longest=500)
    assert found.startswith(question + " ")
    assert set(found.removeprefix(question).split()) == carried


@pytest.mark.parametrize(
    ("questions", "carried"),
    [
        (["How many warehouses does Costco have in Canada?", "And in Mexico?", "How many do they plan to open?"],
         {"Costco", "Mexico", "warehouses"}),
        ([REVENUE, "And in 2022?", "What share of it is from services?"], {"Apple", "2022", "revenue"}),
        (["Can I take a sabbatical?", "Is it paid?", "Who approves that?"], {"take", "sabbatical", "paid"}),
        ([REVENUE, "How do employees report an accident at work?", "And at night?"],
         {"employees", "report", "accident", "work"}),
    ],
)  # fmt: skip
def test_a_conversation_keeps_its_topic_until_another_is_asked_about(questions: list[str], carried: set[str]) -> None:
    *history, question = questions
    found = rewrite(question, history, longest=500)
    assert set(found.removeprefix(question).split()) == carried


@pytest.mark.parametrize(
    "question",
    [
        "How many days of paid leave do employees get in their first year?",
        "what similarity laws must be obeyed when constructing aeroelastic models of heated high speed aircraft .",
        "Does Corning own the building that it uses in Kentucky?",
    ],
)
def test_a_question_that_stands_by_itself_is_left_alone(question: str) -> None:
    assert not leans(question)
    assert rewrite(question, [REVENUE], longest=500) == question


def test_a_first_question_is_left_alone() -> None:
    assert rewrite("And in 2022?", [], longest=500) == "And in 2022?"


def test_only_recent_questions_are_looked_at() -> None:
    history = [REVENUE, *["and then?"] * TURNS]
    assert "Apple" not in rewrite("And in 2022?", history, longest=500)


def test_the_result_is_never_longer_than_allowed() -> None:
    question = "And in 2022?"
    for longest in range(len(question), 60):
        assert len(rewrite(question, [REVENUE], longest=longest)) <= longest
    assert rewrite(question, [REVENUE], longest=len(question)) == question


def test_a_very_long_question_before_adds_little() -> None:
    earlier = "Explain " + " ".join(f"word{number}" for number in range(5000))
    assert len(rewrite("And that?", [earlier], longest=8000).split()) < 20
