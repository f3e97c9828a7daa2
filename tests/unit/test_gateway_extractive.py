"""The built-in model quotes what answers, or says that nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.extractive import NO_ANSWER, Extractive
from gateway.model import Evidence, ModelCall, Usage
from gateway.segments import MAX_CHARS, segments, sentences
from gateway.terms import words

PAGING = Evidence(
    1,
    "On-call handbook",
    "# Paging\n\nEvery team has an on-call engineer. The on-call engineer must page the duty manager within 15 "
    "minutes.\nDr. Osei of the platform team, e.g. in an emergency, may waive this. Shifts start at 09:00.",
)
TRAVEL = Evidence(
    2,
    "Travel guide",
    "Daily allowances:\n\n| City | Hotel | Meals |\n|---|---|---|\n| London | 180 EUR | 60 EUR |\n| Oslo | 210 EUR | "
    "75 EUR |\n\nBefore you travel:\n\n- Ask your manager for approval.\n- Book flights through the travel desk.\n",
)
FAQ = Evidence(
    3, "FAQ", "How long are receipts kept?\nThe finance team stores them for 7 years.\n\nWho signs? The lead."
)


def ask(question: str, *evidence: Evidence, similarity: object = None) -> str:
    model = Extractive(similarity)  # type: ignore[arg-type]
    return model.complete(ModelCall(question, evidence, [])).text


@pytest.mark.parametrize(
    ("question", "first"),
    [
        (
            "Whom must the on-call engineer page, and when?",
            "The on-call engineer must page the duty manager within 15 minutes. [1]",
        ),
        ("What is the hotel allowance in Oslo?", "City: Oslo; Hotel: 210 EUR; Meals: 75 EUR [2]"),
        ("Where do I book flights?", "Book flights through the travel desk. [2]"),
        ("How long are receipts kept?", "The finance team stores them for 7 years. [3]"),
    ],
)
def test_the_best_sentence_comes_first(question: str, first: str) -> None:
    assert ask(question, PAGING, TRAVEL, FAQ).split("\n")[0] == first


@pytest.mark.parametrize("question", ["What is the capital of France?", "the of and", "", "?!"])
def test_nothing_related_is_said_plainly(question: str) -> None:
    assert ask(question, PAGING, TRAVEL, FAQ) == NO_ANSWER


def test_a_name_the_evidence_does_not_know_makes_it_careful() -> None:
    evidence = Evidence(1, "T", "A hotel in a capital city costs 185 euros. A bus costs 2 euros.")
    assert ask("What is the capital of France?", evidence) == NO_ANSWER
    assert ask("What does a capital hotel cost?", evidence).startswith("A hotel in a capital city costs 185 euros. [1]")


def test_no_evidence() -> None:
    assert ask("Who pages?") == NO_ANSWER


def test_at_most_three_quotes_and_no_repetition() -> None:
    copies = [Evidence(n, "T", f"The quota is {n} seats. The quota is  {n} seats. Quotas hold.") for n in range(1, 7)]
    lines = ask("What is the quota of seats?", *copies).split("\n")
    assert 1 <= len(lines) <= 3
    assert len(set(lines)) == len(lines)


def test_markers_and_links_of_the_document_are_not_ours() -> None:
    evidence = Evidence(4, "T", "The quota [2] is on [this page](https://evil.example/x) of seats.")
    assert ask("quota seats page", evidence) == "The quota (2) is on this page of seats. [4]"


def test_only_highly_ranked_evidence_is_quoted() -> None:
    filler = [Evidence(n, "T", f"Unrelated matter number {n}.") for n in range(1, 9)]
    assert ask("What is the quota?", *filler, Evidence(9, "T", "The quota is 5.")) == NO_ANSWER


def test_similarity_finds_what_words_do_not_and_vetoes_what_only_words_find() -> None:
    def similarity(question: str, texts: Sequence[str]) -> list[float]:
        return [0.8 if "leave" in text else 0.05 for text in texts]

    evidence = Evidence(1, "T", "Paid leave amounts to 30 days. A holiday song plays daily in the lobby.")
    assert ask("How much holiday?", evidence, similarity=similarity) == "Paid leave amounts to 30 days. [1]"


def test_stream_is_the_whole_answer_with_usage_last() -> None:
    call = ModelCall("Who must page and which hotel in Oslo", [PAGING, TRAVEL], [])

    async def run() -> list[object]:
        return [delta async for delta in Extractive().stream(call)]

    deltas = asyncio.run(run())
    text = "".join(delta.text for delta in deltas)  # type: ignore[attr-defined]
    assert text == Extractive().complete(call).text
    assert deltas[-1].usage == Usage()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Osei met Mr. J. Smith at No. 5.",
        "Use it, e.g. Monday, i.e. Early.",
        "The U.S. Office is shut.",
        "Version 2.1 is out.",
    ],
)
def test_abbreviations_do_not_end_a_sentence(text: str) -> None:
    assert sentences(text) == [text]


def test_sentences_end_where_they_end() -> None:
    assert sentences('He said "Stop." Then he left! (All saw it.) 3 stayed.') == [
        'He said "Stop."', "Then he left!", "(All saw it.)", "3 stayed.",
    ]  # fmt: skip
    assert sentences("一つ目です。二つ目です。") == ["一つ目です。", "二つ目です。"]


def test_wrapped_lines_are_one_sentence_and_short_lines_their_own() -> None:
    wrapped = "The engineer on call this week must page the\nDuty Manager at once.\n\nOpening hours\nMonday 9-17"
    assert [each.text for each in segments(wrapped)] == [
        "The engineer on call this week must page the Duty Manager at once.", "Opening hours", "Monday 9-17",
    ]  # fmt: skip


def test_tables_keep_their_header_with_or_without_a_rule() -> None:
    assert [each.text for each in segments("Name | Role\nAna | Lead 1\nBo | Dev 2")] == [
        "Name: Ana; Role: Lead 1", "Name: Bo; Role: Dev 2",
    ]  # fmt: skip
    assert [each.text for each in segments("1\t2\n3\t4")] == ["1; 2", "3; 4"]


def test_headings_and_lead_ins_are_context() -> None:
    found = segments("## Leave\nYou need:\n1. A form.\n2. A signature.\n\nPlain text.")
    assert [(each.text, each.context) for each in found] == [
        ("A form.", "Leave You need:"), ("A signature.", "Leave You need:"), ("Plain text.", "Leave You need:"),
    ]  # fmt: skip


def test_nothing_quotable_is_longer_than_the_limit() -> None:
    assert max(len(each.text) for each in segments("word " * 400 + "\n\n" + "x" * 2000)) <= MAX_CHARS


def test_endings_fall_together() -> None:
    for family in (["page", "pages", "paged", "paging"], ["approve", "approval", "approves"], ["policy", "policies"]):
        assert len({words(word)[0] for word in family}) == 1, family
    assert words("INC-1042 isn't 2.1") == ["inc", "1042", "isn", "2", "1"]
