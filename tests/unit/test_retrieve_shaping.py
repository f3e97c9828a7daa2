"""Choosing among passages that passed: copies, crowding, caps, age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from retrieve.model import Passage, Shape
from retrieve.shaping import FLOOR, Candidate, shape_up

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def candidate(name: str, score: float = 1.0, *, days: float | None = None, **parts: Any) -> Candidate:
    """`name` is `document/place`."""
    document = name.partition("/")[0]
    values = {
        "chunk": name, "document": document, "title": document, "uri": f"u:{document}", "source": "s", "text": name,
        "heading": "", "page": None, "kind": "text", "position": 0, "score": score, "classification": "internal",
    }  # fmt: skip
    passage = Passage(**{**values, **parts})
    modified = None if days is None else NOW - timedelta(days=days)
    return Candidate(passage, version=1, tokens=10, modified=modified)


def shown(candidates: list[Candidate], shape: Shape = Shape(), top_k: int = 4) -> list[str]:
    return [one.passage.chunk for one in shape_up(candidates, shape, top_k, at=NOW)]


def test_without_wishes_the_order_is_kept() -> None:
    assert shown([candidate(f"d{n}/0") for n in range(6)]) == ["d0/0", "d1/0", "d2/0", "d3/0"]


def test_one_document_leaves_room_for_others_that_have_something() -> None:
    found = [*(candidate(f"big/{n}") for n in range(8)), candidate("small/0")]
    assert shown(found) == ["big/0", "big/1", "big/2", "small/0"]


def test_one_document_takes_every_place_that_others_do_not_fill() -> None:
    found = [candidate(f"big/{n}") for n in range(6)]
    assert shown(found) == ["big/0", "big/1", "big/2", "big/3"]
    assert shown([*found, candidate("small/0")], top_k=6) == ["big/0", "big/1", "big/2", "big/3", "big/4", "small/0"]


def test_a_cap_by_document_is_kept_even_where_places_stay_empty() -> None:
    found = [candidate("a/0"), candidate("a/1"), candidate("b/0"), candidate("a/2")]
    assert shown(found, Shape(per_document=1)) == ["a/0", "b/0"]


def test_a_cap_by_source() -> None:
    found = [candidate("a/0"), candidate("b/0"), candidate("c/0", source="other")]
    assert shown(found, Shape(per_source=1)) == ["a/0", "c/0"]


def test_copies_stand_behind_the_best_of_them() -> None:
    found = [
        candidate("a/0", title="T", text="t"),
        candidate("b/0"),
        candidate("c/0", title="T", text="t", page=3),
        candidate("c/1", title="T", text="t", page=4),
        candidate("a/1", title="T", text="t"),
    ]
    best, other = (one.passage for one in shape_up(found, Shape(), 4, at=NOW))
    assert [place.chunk for place in best.also] == ["c/0"]
    assert best.documents == ("a", "c")
    assert other.also == ()


def test_equal_text_under_another_title_is_a_copy_only_where_asked() -> None:
    found = [candidate("a/0", text="Same  text"), candidate("b/0", text="same text")]
    assert shown(found) == ["a/0", "b/0"]
    assert shown(found, Shape(collapse="text")) == ["a/0"]
    assert shown(
        [candidate("a/0", title="T", text="t"), candidate("b/0", title="T", text="t")], Shape(collapse="off")
    ) == ["a/0", "b/0"]


def test_equal_text_under_another_heading_is_no_copy() -> None:
    found = [candidate("a/0", title="T", text="t", heading="One"), candidate("b/0", title="T", text="t", heading="Two")]
    assert shown(found) == ["a/0", "b/0"]


def test_copies_of_another_classification_stay_apart() -> None:
    found = [
        candidate("a/0", title="T", text="t", classification="restricted"),
        candidate("b/0", title="T", text="t", classification="public"),
    ]
    assert shown(found) == ["a/0", "b/0"]


def test_newer_documents_win_where_asked_and_no_score_falls_below_its_floor() -> None:
    found = [candidate("old/0", 1.0, days=3650), candidate("new/0", 0.8, days=0), candidate("undated/0", 0.9)]
    assert shown(found) == ["old/0", "new/0", "undated/0"]
    chosen = shape_up(found, Shape(recency_days=30), 4, at=NOW)
    assert [one.passage.chunk for one in chosen] == ["new/0", "old/0", "undated/0"]
    assert [round(one.passage.score, 6) for one in chosen] == [0.8, FLOOR, 0.9 * FLOOR]


def test_a_date_to_come_counts_as_new() -> None:
    (only,) = shape_up([candidate("a/0", 0.4, days=-10)], Shape(recency_days=1), 4, at=NOW)
    assert only.passage.score == 0.4


WORDS = " ".join(f"word{number}" for number in range(40))


def test_nearly_alike_texts_collapse_only_where_asked() -> None:
    found = [
        candidate("a/0", title="2023", text=WORDS),
        candidate("b/0", title="2024", text=WORDS.upper().replace("WORD7 ", "other ")),
        candidate("c/0", title="2025", text=WORDS.replace("word", "others ")),
        candidate("d/0", title="2026", text=WORDS, classification="public"),
    ]
    assert shown(found) == ["a/0", "b/0", "c/0", "d/0"]
    chosen = shape_up(found, Shape(collapse="near"), 4, at=NOW)
    assert [one.passage.chunk for one in chosen] == ["a/0", "c/0", "d/0"]
    assert [one.chunk for one in chosen[0].passage.also] == ["b/0"]


def test_short_texts_are_nearly_alike_only_where_their_words_are_the_same() -> None:
    found = [candidate("a/0", text="Ten days."), candidate("b/0", text="ten  days"), candidate("c/0", text="Two days.")]
    assert shown(found, Shape(collapse="near")) == ["a/0", "c/0"]


def test_a_row_of_small_changes_joins_no_two_ends() -> None:
    steps = [" ".join(f"word{number + 3 * step}" for number in range(40)) for step in range(4)]
    found = [candidate(f"{name}/0", text=text) for name, text in zip("abcd", steps, strict=True)]
    assert shown(found, Shape(collapse="near")) == ["a/0", "c/0"]
