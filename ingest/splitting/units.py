"""A document as a row of units that are never cut, each in the section of its headings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from embed.encoders.base import Tokenizer
from ingest.model import Element, ElementKind, Parsed
from ingest.splitting.sentences import line_spans, sentence_spans, token_spans

HEADING_MAX = 200
"""Longest heading in characters; what is longer is text that was marked as one."""
LONGEST_TOKEN = 20
"""Characters that count as one token at least: a word unknown to the tokenizer is one token of any length."""
INSIDE_SENTENCE, INSIDE_PARAGRAPH, AT_LINE = 0.12, 0.04, 0.02
"""Cost of a cut there, in chunks; between paragraphs it is 0. Small, so that few chunks come before fine cuts."""
BATCH = 4096
"""Texts that are counted in one call."""
BLOCK = 20_000
"""Characters of an overlong sentence whose tokens are looked at together."""
_PAGED = ("presentation", "spreadsheet")


@dataclass(frozen=True, slots=True)
class Section:
    """Text under one heading path on one page.

    Attributes:
        group: chunks never span two groups (slides, sheets).
        path: headings from the outermost in.
        sums: tokens of `path[:n]` for each n from 0.
    """

    index: int
    group: int
    path: tuple[str, ...]
    page: int | None
    sums: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Table:
    """A table too long for one chunk: every chunk with rows of it repeats its header."""

    header: str
    weight: int


@dataclass(slots=True)
class Unit:
    """A sentence, line, row or small table.

    Attributes:
        glue: what stands between this unit and the one before it in the same chunk.
        cut: what ending a chunk here costs, in chunks.
        weight: tokens, or more where the characters are too many for their tokens.
    """

    text: str
    section: Section
    kind: ElementKind
    glue: str = "\n\n"
    cut: float = 0.0
    table: Table | None = None
    weight: int = 0


@dataclass(slots=True)
class Outline:
    """Follows headings through a document and hands out sections."""

    paged: bool
    stack: list[tuple[int, str]] = field(default_factory=list)
    bare: Element | None = None
    section: Section | None = None
    group: int = 0

    def leaves(self, element: Element | None) -> bool:
        """Whether `element` (None: the end) comes without text or a deeper heading since the heading before it."""
        return self.bare is not None and (element is None or (self.bare.level or 1) >= (element.level or 1))

    def open(self, element: Element) -> None:
        """Enters a heading."""
        level = element.level or 1
        while self.stack and self.stack[-1][0] >= level:
            self.stack.pop()
        self.stack.append((level, element.text[:HEADING_MAX]))
        self.bare = element

    def at(self, page: int | None) -> Section:
        """The section of text on `page` under the present headings."""
        path = tuple(text for _, text in self.stack)
        last = self.section
        if last is None or last.path != path or last.page != page:
            if self.paged and last is not None and last.page != page:
                self.group += 1
            self.section = Section(0 if last is None else last.index + 1, self.group, path, page)
        self.bare = None
        assert self.section is not None
        return self.section


def build_units(parsed: Parsed, tokenizer: Tokenizer, size: int) -> list[Unit]:
    """The document's units, each of at most `size` in weight, with the header of its table."""
    units = list(_rough_units(parsed))
    _weigh(units, tokenizer, size)
    tables = _long_tables(parsed, tokenizer, size)
    fine: list[Unit] = []
    for unit in units:
        fine.extend(_refined(unit, tokenizer, size, tables))
    _weigh([unit for unit in fine if unit.weight == 0], tokenizer, size)
    _sum_headings(fine, tokenizer)
    return fine


def _rough_units(parsed: Parsed) -> Iterator[Unit]:
    """Sentences and lines; tables whole."""
    outline = Outline(any(word in parsed.mime for word in _PAGED))
    for element in parsed.elements:
        if element.kind in ("heading", "title"):
            if outline.leaves(element):
                yield from _bare(outline)
            outline.open(element)
            if len(element.text) > HEADING_MAX:
                yield from _pieces(element, outline.at(element.page))
        elif element.text.strip() or element.header:
            yield from _pieces(element, outline.at(element.page))
    if outline.leaves(None):
        yield from _bare(outline)


def _bare(outline: Outline) -> Iterator[Unit]:
    """A heading without text below it is text itself, under the heading above it."""
    heading = outline.bare
    assert heading is not None
    outline.stack.pop()
    yield from _pieces(replace(heading, kind="text"), outline.at(heading.page))


def _pieces(element: Element, section: Section) -> Iterator[Unit]:
    text = element.text
    if element.kind == "table":
        yield Unit(_whole(element), section, "table")
        return
    spans = sentence_spans(text) if element.kind in ("text", "heading", "title") else line_spans(text)
    before = 0
    for number, (start, end, line_end) in enumerate(spans):
        cut = 0.0 if number == len(spans) - 1 else AT_LINE if line_end else INSIDE_PARAGRAPH
        yield Unit(text[start:end], section, element.kind, text[before:start] if number else "\n\n", cut)
        before = end


def _whole(element: Element) -> str:
    return f"{element.header}\n{element.text}" if element.header else element.text


def _weigh(units: Sequence[Unit], tokenizer: Tokenizer, size: int) -> None:
    """Counts all units, but those whose characters alone are too many: they are cut before they are counted."""
    short: list[Unit] = []
    for unit in units:
        unit.weight = weight_of(unit.text, 0)
        if unit.weight <= size:
            short.append(unit)
    for unit, tokens in zip(short, count(tokenizer, [unit.text for unit in short]), strict=True):
        unit.weight = weight_of(unit.text, tokens)


def count(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Tokens of each text, in few calls: an encoding takes a hundred times the memory of its text."""
    counts: list[int] = []
    for start in range(0, len(texts), BATCH):
        counts.extend(tokenizer.count(texts[start : start + BATCH]))
    return counts


def weight_of(text: str, tokens: int) -> int:
    """Tokens, at least 1 and at least one for each `LONGEST_TOKEN` characters."""
    return max(tokens, -(-len(text) // LONGEST_TOKEN), 1)


def _long_tables(parsed: Parsed, tokenizer: Tokenizer, size: int) -> dict[str, Table]:
    """A table by its header, for headers that leave rows at least half of a chunk."""
    headers = list({e.header for e in parsed.elements if e.kind == "table" and e.header})
    counts = count(tokenizer, headers)
    weights = {header: weight_of(header, tokens) for header, tokens in zip(headers, counts, strict=True)}
    return {header: Table(header, weight) for header, weight in weights.items() if weight * 2 <= size}


def _refined(unit: Unit, tokenizer: Tokenizer, size: int, tables: dict[str, Table]) -> Iterator[Unit]:
    """A unit that fits as it is; a long table as rows; anything else in pieces of tokens."""
    if unit.weight <= size:
        yield unit
    elif unit.kind == "table" and "\n" in unit.text:
        yield from _rows(unit, tokenizer, size, tables)
    else:
        yield from _cut(unit, tokenizer, size)


def _rows(unit: Unit, tokenizer: Tokenizer, size: int, tables: dict[str, Table]) -> Iterator[Unit]:
    lines = unit.text.split("\n")
    table = tables.get(lines[0])
    if table is not None:
        table = replace(table)
        lines = lines[1:]
    rows = [Unit(line, unit.section, "table", "\n", 0.0, table) for line in lines if line]
    if rows:
        rows[0].glue = unit.glue
    _weigh(rows, tokenizer, size)
    room = size - (table.weight if table else 0)
    for row in rows:
        if row.weight <= room:
            yield row
        else:
            yield from _cut(row, tokenizer, room)


def _cut(unit: Unit, tokenizer: Tokenizer, size: int) -> Iterator[Unit]:
    """Pieces of a little less than `size` tokens: a piece may count more by itself than within the whole."""
    aim = max(size * 9 // 10, 1)
    spans = list(_token_spans(unit.text, tokenizer, aim))
    before = 0
    for number, (start, end) in enumerate(spans):
        text = unit.text[start:end]
        stripped = text.rstrip(" ")
        if stripped:
            glue = unit.text[before:start] if number else unit.glue
            cut = unit.cut if number == len(spans) - 1 else INSIDE_SENTENCE
            yield Unit(stripped, unit.section, unit.kind, glue, cut, unit.table)
            before = start + len(stripped)


def _token_spans(text: str, tokenizer: Tokenizer, size: int) -> Iterator[tuple[int, int]]:
    """Pieces of `size` tokens, block by block; blocks end at a space where there is one."""
    begin = 0
    while begin < len(text):
        end = begin + BLOCK
        if end < len(text):
            space = text.rfind(" ", begin + BLOCK // 2, end)
            end = space + 1 if space > 0 else end
        block = text[begin:end]
        for start, stop in token_spans(block, tokenizer.offsets(block), size, size * LONGEST_TOKEN):
            yield begin + start, begin + stop
        begin = end


def _sum_headings(units: Sequence[Unit], tokenizer: Tokenizer) -> None:
    """Gives each section the tokens of its headings, counted in one call."""
    headings = list({text for unit in units for text in unit.section.path})
    counts = dict(zip(headings, count(tokenizer, headings), strict=True))
    filled: dict[int, Section] = {}
    for unit in units:
        index = unit.section.index
        if index not in filled:
            sums = [0]
            for text in unit.section.path:
                sums.append(sums[-1] + counts[text])
            filled[index] = replace(unit.section, sums=tuple(sums))
        unit.section = filled[index]
