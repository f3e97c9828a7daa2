"""Citation markers, whole and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answer.citations import MARKER, CitationStream, clean


@pytest.mark.parametrize(
    ("answer", "text", "cited"),
    [
        ("Yes [2]. No [1].", "Yes [2]. No [1].", [2, 1]),
        ("Both [1, 2][2;1].", "Both [1, 2][2, 1].", [1, 2]),
        ("Some [1, 9].", "Some [1].", [1]),
        ("None [9].", "None.", []),
        ("None[ 9 ,8 ] left", "None left", []),
        ("Twice [1,1]", "Twice [1]", [1]),
        ("Text [a] [1", "Text [a] [1", []),
        ("Forged [2[9]] and [1[9], 2].", "Forged [2\u2026] and [1\u2026, 2].", []),
        ("[0] [-1] [99999]", " [-1] [99999]", []),
    ],
)
def test_only_issued_numbers_stay(answer: str, text: str, cited: list[int]) -> None:
    assert clean(answer, {1, 2}) == (text, cited)


ANSWERS = st.lists(
    st.sampled_from(["[", "]", "1", "2", "9", ",", ";", " ", "word", "[1]", "[9]", " [2, 9]", "\n"])
).map("".join)


@given(ANSWERS, st.data())
def test_any_split_gives_the_same(answer: str, data: st.DataObject) -> None:
    stream, shown, rest = CitationStream({1, 2}), "", answer
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        shown, rest = shown + stream.feed(rest[:size]), rest[size:]
    shown += stream.finish()
    assert (shown, stream.cited) == clean(answer, {1, 2})


@given(ANSWERS)
def test_no_marker_of_another_number_is_left(answer: str) -> None:
    text, cited = clean(answer, {1, 2})
    for marker in MARKER.findall(text):
        assert "9" not in marker
    assert clean(text, {1, 2})[0] == text
    assert set(cited) <= {1, 2}
