"""Chunks: nothing lost, nothing too long, full, in their place, and still there after an edit."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.model import ChunkDraft, Element, ElementKind, Parsed
from ingest.splitting import split
from tests.factories.tokenizer import minilm_tokenizer

TOKENIZER = minilm_tokenizer()
VOCABULARY = (
    "the valve opens at forty bar and closes when pressure falls below a limit that the maker states in its manual "
    "for every sensor pump pipe seat spring ring housing cable report customer contract invoice month year value"
)
WORDS = VOCABULARY.split()


def document(*elements: Element, title: str = "Valve manual", mime: str = "text/plain") -> Parsed:
    return Parsed(title, elements, mime)


def heading(text: str, level: int = 1, page: int | None = None) -> Element:
    return Element("heading", text, level=level, page=page)


def text(words: str, page: int | None = None, kind: ElementKind = "text") -> Element:
    return Element(kind, words, page=page)


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(8, 30))).capitalize() + "."


def paragraph(rng: random.Random) -> str:
    return " ".join(sentence(rng) for _ in range(rng.randint(2, 7)))


def chunks_of(parsed: Parsed, max_tokens: int = 200, context_tokens: int = 48) -> list[ChunkDraft]:
    return split(parsed, TOKENIZER, max_tokens=max_tokens, context_tokens=context_tokens)


def test_a_short_document_is_one_chunk() -> None:
    (chunk,) = chunks_of(document(heading("Valve manual"), text("One."), text("Two.")))
    assert chunk == ChunkDraft("Valve manual", "One.\n\nTwo.", 4, "Valve manual", None, "text")


def test_context_holds_title_and_headings() -> None:
    long = " ".join(sentence(random.Random(1)) for _ in range(20))
    chunks = chunks_of(document(heading("Parts"), heading("Springs", 2), text(long), heading("Seats", 2), text(long)))
    assert {chunk.context for chunk in chunks} == {"Valve manual > Parts > Springs", "Valve manual > Parts > Seats"}
    assert {chunk.heading for chunk in chunks} == {"Parts > Springs", "Parts > Seats"}


def test_context_is_cut_to_its_tokens_and_keeps_title_and_innermost_heading() -> None:
    path = [heading(f"Level {n} with quite a long heading of many words", n) for n in range(1, 7)]
    (chunk,) = chunks_of(document(*path, text("Text.")), context_tokens=30)
    assert TOKENIZER.count([chunk.context])[0] <= 30
    assert chunk.context.startswith("Valve manual > ")
    assert chunk.context.endswith("Level 6 with quite a long heading of many words")
    (chunk,) = chunks_of(document(text("Text."), title="word " * 500), context_tokens=30)
    assert TOKENIZER.count([chunk.context])[0] == 30


def test_small_sections_of_one_parent_share_a_chunk_with_their_headings_as_lines() -> None:
    (chunk,) = chunks_of(
        document(
            heading("Valve manual"),
            text("Intro."),
            heading("Springs", 2),
            text("Steel."),
            heading("Seats", 2),
            text("Brass."),
        )
    )
    assert chunk.text == "Intro.\n\nSprings\nSteel.\n\nSeats\nBrass."
    assert chunk.heading == "Valve manual"


def test_sections_with_something_to_say_share_no_chunk() -> None:
    """What is said of many subjects is found by none: two sections of half a chunk each stay apart."""
    words = " ".join(["The valve is checked for leaks."] * 13)
    chunks = chunks_of(document(heading("One", 2), text(words), heading("Two", 2), text(words)))
    assert [chunk.heading for chunk in chunks] == ["One", "Two"]
    assert sum(chunk.tokens for chunk in chunks) < 200


def test_sections_of_different_parents_stay_apart() -> None:
    parts = [heading("A"), heading("A1", 2), text("One."), heading("B"), heading("B1", 2), text("Two.")]
    assert [chunk.heading for chunk in chunks_of(document(*parts))] == ["A > A1", "B > B1"]


def test_a_long_section_shares_no_chunk_with_its_neighbour() -> None:
    long = " ".join(sentence(random.Random(1)) for _ in range(20))
    chunks = chunks_of(document(heading("A"), text(long), heading("B"), text("Short.")))
    assert chunks[-1].text == "Short."


def test_a_heading_without_text_is_kept_as_text() -> None:
    chunks = chunks_of(
        document(heading("A"), text("One."), heading("Bare"), heading("B"), text("Two."), heading("End"))
    )
    joined = "\n".join(f"{chunk.heading}\n{chunk.text}" for chunk in chunks)
    assert all(word in joined for word in ("A", "One.", "Bare", "B", "Two.", "End"))


@pytest.mark.parametrize("mime", ["a/presentationml.presentation", "a/spreadsheetml.sheet"])
def test_slides_and_sheets_never_share_a_chunk(mime: str) -> None:
    slides = [Element("text", f"Slide {n}.", page=n) for n in (1, 2, 3)]
    chunks = chunks_of(document(*slides, mime=mime))
    assert [(chunk.text, chunk.page) for chunk in chunks] == [("Slide 1.", 1), ("Slide 2.", 2), ("Slide 3.", 3)]


def test_pages_of_a_pdf_share_a_chunk_only_when_both_are_tiny() -> None:
    long = " ".join(sentence(random.Random(1)) for _ in range(20))
    tiny = chunks_of(document(text("One.", 1), text("Two.", 2), mime="application/pdf"))
    assert [(chunk.text, chunk.page) for chunk in tiny] == [("One.\n\nTwo.", 1)]
    mixed = chunks_of(document(text("One.", 1), text(long, 2), mime="application/pdf"))
    assert (mixed[0].text, mixed[0].page) == ("One.", 1)
    assert {chunk.page for chunk in mixed[1:]} == {2}


def test_a_table_that_fits_is_whole() -> None:
    long = " ".join(sentence(random.Random(1)) for _ in range(7))
    table = Element("table", "\n".join(f"part {n} | {n}.20" for n in range(8)), header="Part | Price")
    chunks = chunks_of(document(text(long), table))
    assert sum("Part | Price" in chunk.text for chunk in chunks) == 1
    assert any(f"{table.header}\n{table.text}" in chunk.text for chunk in chunks)


def test_a_long_table_repeats_its_header_and_keeps_its_rows() -> None:
    rows = [f"part {n} | {n}.20 | in stock since the year {n}" for n in range(100)]
    chunks = chunks_of(document(Element("table", "\n".join(rows), header="Part | Price | Stock")))
    assert len(chunks) > 3
    assert all(chunk.text.startswith("Part | Price | Stock\n") and chunk.kind == "table" for chunk in chunks)
    assert [line for chunk in chunks for line in chunk.text.split("\n")[1:]] == rows


def test_cuts_prefer_the_ends_of_paragraphs() -> None:
    sentences = " ".join("The valve opens at forty bar." for _ in range(8))
    lone = "One sentence that stands in a paragraph of its own here."
    chunks = chunks_of(document(*[text(part) for _ in range(10) for part in (sentences, sentences, sentences, lone)]))
    assert [chunk.text.endswith((sentences, lone)) for chunk in chunks] == [True] * len(chunks)


def test_packing_is_as_tight_as_greedy_sentences() -> None:
    rng = random.Random(3)
    ours = greedy = 0
    for _ in range(60):
        paragraphs = [paragraph(rng) for _ in range(7)]
        ours += len(chunks_of(document(*map(text, paragraphs))))
        greedy += greedy_count([s for p in paragraphs for s in p.replace(". ", ".\n").split("\n")])
    assert ours <= greedy * 1.05


def greedy_count(sentences: Sequence[str]) -> int:
    chunks, filled = 1, 0
    for tokens in TOKENIZER.count(sentences):
        if filled + tokens > 200:
            chunks, filled = chunks + 1, 0
        filled += tokens
    return chunks


def flat(rng: random.Random) -> list[Element]:
    return [text(paragraph(rng)) for _ in range(1000)]


def headed(rng: random.Random) -> list[Element]:
    elements: list[Element] = []
    for n in range(100):
        elements.append(heading(f"Section {n}", 1 + n % 2))
        elements.extend(text(paragraph(rng)) for _ in range(10))
    return elements


@pytest.mark.parametrize("make", [flat, headed])
def test_an_edit_changes_two_chunks_at_most(make: Callable[[random.Random], list[Element]]) -> None:
    rng = random.Random(4)
    elements = make(rng)
    before = chunks_of(document(*elements))
    assert len(before) >= 480
    known = Counter(chunk.encoder_input for chunk in before)
    places = [n for n, element in enumerate(elements) if element.kind == "text"]
    for place in rng.sample(places, 12):
        edited = list(elements)
        sentences = edited[place].text.split(". ")
        sentences[rng.randrange(len(sentences))] = sentence(rng).rstrip(".")
        edited[place] = text(". ".join(sentences))
        after = split(document(*edited), TOKENIZER, previous=[chunk.text for chunk in before])
        changed = Counter(chunk.encoder_input for chunk in after) - known
        assert 1 <= changed.total() <= 2
        assert " ".join(words_of(after)) == " ".join(w for e in edited if e.kind == "text" for w in e.text.split())


def test_rows_added_to_a_long_table_change_few_chunks() -> None:
    rows = [f"part {n} | {n}.20 | in stock since the year {n}" for n in range(2000)]
    before = chunks_of(document(Element("table", "\n".join(rows), header="Part | Price")))
    rows.insert(3, "part new | 9.99 | in stock since today")
    after = split(
        document(Element("table", "\n".join(rows), header="Part | Price")), TOKENIZER, previous=[c.text for c in before]
    )
    assert len({c.text for c in after} - {c.text for c in before}) <= 2


def test_repeated_edits_leave_no_crumbs() -> None:
    rng = random.Random(5)
    elements = [text(paragraph(rng)) for _ in range(60)]
    chunks = chunks_of(document(*elements))
    for _ in range(60):
        elements[rng.randrange(60)] = text(paragraph(rng))
        chunks = split(document(*elements), TOKENIZER, previous=[chunk.text for chunk in chunks])
    assert len(chunks) <= 1.25 * len(chunks_of(document(*elements)))


def test_splitting_twice_gives_the_same() -> None:
    elements = flat(random.Random(6))[:50]
    first = chunks_of(document(*elements))
    assert first == chunks_of(document(*elements))
    assert first == split(document(*elements), TOKENIZER, previous=[chunk.text for chunk in first])


def words_of(chunks: Sequence[ChunkDraft]) -> list[str]:
    return [word for chunk in chunks for word in chunk.text.split() if not chunk.text.startswith("Part |")]


LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs", "Cf"))
LINES = st.lists(st.text(LETTERS, min_size=1, max_size=40), min_size=1, max_size=60).map(" ".join)
ELEMENTS = st.lists(
    st.one_of(
        st.builds(Element, st.sampled_from(["text", "code", "list"]), LINES, st.just(0), st.sampled_from([None, 1, 2])),
        st.builds(Element, st.just("text"), st.lists(LINES, min_size=1, max_size=4).map("\n".join)),
        st.builds(Element, st.just("text"), st.text(LETTERS, min_size=1, max_size=3000)),
        st.builds(Element, st.just("table"), st.lists(LINES, min_size=1, max_size=12).map("\n".join)),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=80, deadline=None)
@given(ELEMENTS, st.sampled_from([8, 32, 200]))
def test_no_word_is_lost_and_no_chunk_too_long(elements: list[Element], size: int) -> None:
    chunks = chunks_of(document(*elements), max_tokens=size)
    given_text = "".join("".join(element.text.split()) for element in elements)
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == given_text
    for chunk, tokens in zip(chunks, TOKENIZER.count([chunk.text for chunk in chunks]), strict=True):
        assert chunk.text.strip()
        assert chunk.tokens == tokens <= size


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["A", "B", "C d"]), st.booleans()), max_size=12))
def test_every_heading_is_found_in_some_chunk(outline: list[tuple[int, str, bool]]) -> None:
    elements = [text("Start.")]
    for number, (level, name, with_text) in enumerate(outline):
        elements.append(heading(f"{name}{number}", level))
        if with_text:
            elements.append(text(f"Text{number}."))
    chunks = chunks_of(document(*elements))
    found = "\n".join(f"{chunk.heading}\n{chunk.text}" for chunk in chunks)
    assert all(element.text in found for element in elements)
    texts = [word for chunk in chunks for word in chunk.text.split() if word.endswith(".")]
    assert texts == [element.text for element in elements if element.kind == "text"]


def test_a_word_without_end_is_cut() -> None:
    chunks = chunks_of(document(text("x" * 100_000)))
    assert "".join(chunk.text for chunk in chunks) == "x" * 100_000
    assert max(len(chunk.text) for chunk in chunks) <= 4000


def test_headings_longer_than_a_chunk_are_text() -> None:
    long = " ".join(sentence(random.Random(7)) for _ in range(30))
    chunks = chunks_of(document(heading(long), text("End.")))
    assert " ".join(chunk.text for chunk in chunks).split() == [*long.split(), "End."]


def test_a_sentence_of_many_blocks_keeps_its_words() -> None:
    words = random.Random(8).choices(WORDS, k=20_000)
    chunks = chunks_of(document(text(" ".join(words))))
    assert words_of(chunks) == words
    assert max(chunk.tokens for chunk in chunks) <= 200
    assert sum(chunk.tokens for chunk in chunks) / len(chunks) > 160
