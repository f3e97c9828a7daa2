"""Labels of the handbook's questions can be found where they say, and half of every kind is held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import filings, handbook
from bench.labelled import Asked, Found, questions

HANDBOOK = Path(handbook.__file__).with_name("handbook")


@pytest.mark.parametrize("asked", questions(handbook.QUESTIONS), ids=lambda one: one.question)
def test_an_answer_stands_in_its_file(asked: Asked) -> None:
    whole = [Found(name, None, (HANDBOOK / name).read_text(encoding="utf-8")) for name in sorted(asked.files)]
    text = " ".join(whole[0].text.split()).replace(" |", " | ").replace("  ", " ")
    assert asked.place([Found(whole[0].file, None, text)]) == 1
    assert asked.place([Found("another.md", None, text)]) is None
    assert asked.place([Found(whole[0].file, None, "")]) is None


@pytest.mark.parametrize("path", [handbook.QUESTIONS, filings.CONVERSATIONS], ids=lambda one: one.stem)
def test_half_is_held_out(path: Path) -> None:
    asked = questions(path)
    held = sum(one.held_out for one in asked)
    assert 0.4 < held / len(asked) < 0.6


def test_pages_decide_where_there_are_any() -> None:
    asked = Asked("?", (), frozenset({"a.pdf"}), frozenset({3}), (), held_out=False)
    assert asked.place([Found("b.pdf", 3, ""), Found("a.pdf", 4, ""), Found("a.pdf", 3, "")]) == 3
