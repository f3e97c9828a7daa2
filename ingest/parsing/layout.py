"""Lines of pages to headings, tables and paragraphs.

Headings are found by their font: lines that are short and set larger than most of the text, or bold as a whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from statistics import median

from ingest.parsing.crossing import join_across_pages
from ingest.parsing.draft import Draft
from ingest.parsing.rows import FULL, TABLE, Heads, is_row, table_kinds

HEADING_MAX = 120
"""Longest heading in characters."""
LARGER = 1.12
"""Times the size of most text from which a line counts as larger."""
SMALL_PRINT = 0.2
"""Share of a page's characters: where less is of the document's usual size, the page has a size of its own."""

_FIGURE_END = re.compile(r"(?:^|\s)[$(]*\d[\d,.]*[%)]*$")
_PART = re.compile(r"(part|chapter|teil|kapitel)\s+[\divxlc]+\b", re.IGNORECASE)
_SECTION = re.compile(r"(item|section|article|note|exhibit|appendix|§)\s*\d+", re.IGNORECASE)
_NUMBERED = re.compile(r"\d{1,2}((?:\.\d{1,2})*)\.?\s+[^\W\d_a-z]")
_ITEM = re.compile(r"\s*([-*•▪◦●○■□]|\(?[a-z0-9]{1,3}[.)])\s+\S")
_HYPHEN = re.compile(r"[a-z]-$")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Look:
    """How most of a document is set: size, whether bold, and characters of a full line."""

    size: float
    bold: bool
    width: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page with the font of its first visible character; size 0: unknown."""

    text: str
    size: float = 0.0
    bold: bool = False


def fill_pages(draft: Draft, pages: list[list[Line]]) -> None:
    """Headings, tables and paragraphs from the lines of each page."""
    look = _look(pages)
    repeated = _running(pages)
    heads = Heads()
    empty: list[int] = []
    for number, lines in enumerate(pages, start=1):
        if not lines:
            empty.append(number)
        _fill_page(draft, number, [line for line in lines if _key(line) not in repeated], look, heads)
    draft.elements = join_across_pages(draft.elements)
    if empty:
        draft.notes.append(f"Pages without text: {ranges(empty)}.")
    if not draft.title and pages and pages[0]:
        draft.title = _title(pages[0])


def _title(lines: list[Line]) -> str:
    """The largest of the first lines that has a letter in it, with those of its size that go on right below."""
    first = lines[:15]
    candidates = [at for at, line in enumerate(first) if _LETTER.search(line.text) and len(line.text) <= HEADING_MAX]
    if not candidates:
        return ""
    start = max(candidates, key=lambda at: first[at].size)
    found = [line.text for line in takewhile(lambda line: line.size == first[start].size > 0, first[start:])]
    title = " ".join(found or [first[start].text])
    return title if len(title) <= HEADING_MAX else first[start].text


def _look(pages: Sequence[Sequence[Line]]) -> Look:
    weights: Counter[tuple[float, bool]] = Counter()
    for lines in pages:
        for line in lines:
            weights[line.size, line.bold] += len(line.text)
    size, bold = weights.most_common(1)[0][0] if weights else (0.0, False)
    return Look(size, bold, int(median(_width(lines) for lines in pages)) if pages else 0)


def _key(line: Line) -> str:
    """A line with its numbers masked: running heads differ in the page number alone."""
    return re.sub(r"\d+", "#", line.text)


def _running(pages: list[list[Line]]) -> frozenset[str]:
    """First and last lines that stand on more than half of at least four pages: running heads, page numbers."""
    if len(pages) < 4:
        return frozenset()
    counts: Counter[str] = Counter()
    for lines in pages:
        edges = {_key(line) for line in (*lines[:1], *lines[-1:]) if len(line.text) <= HEADING_MAX}
        counts.update(edges)
    return frozenset(key for key, count in counts.items() if count > len(pages) / 2)


def _fill_page(draft: Draft, number: int, lines: list[Line], look: Look, heads: Heads) -> None:
    width = _width(lines)
    found = _kinds(lines, look)
    for group, kinds in _groups(lines, found, width):
        texts = [line.text for line in group]
        if kinds[0] == "heading":
            heads.forget()
            draft.heading(" ".join(texts), _level(group[0], look), number)
        elif kinds[0] in TABLE:
            rows = [[text] for text in heads.over(texts, kinds)]
            draft.table(rows, number, has_header=heads.text != "")
        else:
            draft.text(_joined(group, width), number)


def _width(lines: Sequence[Line]) -> int:
    """Characters of the longest line that is no row of a table."""
    return max((len(line.text) for line in lines if not is_row(line.text)), default=0)


def _groups(lines: list[Line], kinds: list[str], width: int) -> Iterator[tuple[list[Line], list[str]]]:
    """Runs of lines that belong together, with their kinds."""
    start = 0
    for index in range(1, len(lines) + 1):
        if index == len(lines) or _parts(lines[index - 1], kinds[index - 1], lines[index], kinds[index], width):
            yield lines[start:index], kinds[start:index]
            start = index


def _parts(line: Line, kind: str, following: Line, next_kind: str, width: int) -> bool:
    """Whether a run ends between two lines; heads below a row are those of the next table."""
    if kind in TABLE and next_kind in TABLE:
        return next_kind == "head" and kind != "head"
    return kind != next_kind or _ends(line, following, kind, width)


def _kinds(lines: list[Line], look: Look) -> list[str]:
    """The kind of each line; the last one opens nothing."""
    own = replace(look, size=_own_size(lines, look), width=max(_width(lines), look.width))
    fonts = ["heading" if line is not lines[-1] and _is_heading(line, look, own) else "text" for line in lines]
    return table_kinds([line.text for line in lines], fonts, own.width)


def _own_size(lines: Sequence[Line], look: Look) -> float:
    """The document's usual size, or that of most of a page which is hardly set in it (a statement in small print)."""
    characters = sum(len(line.text) for line in lines)
    usual = sum(len(line.text) for line in lines if line.size >= look.size)
    return look.size if usual >= SMALL_PRINT * characters else _look([lines]).size


def _is_heading(line: Line, look: Look, own: Look) -> bool:
    """Larger than most of the document, or bold in the size of its page."""
    if not 2 < len(line.text) <= HEADING_MAX or not _LETTER.search(line.text) or line.text.endswith((".", ",", ";")):
        return False
    larger = look.size > 0 and line.size >= look.size * LARGER
    return larger or (line.bold and not look.bold and line.size >= own.size and _opens(line.text))


def _opens(text: str) -> bool:
    """Whether a line begins as a heading does: with a capital, or a number and a capital."""
    return text[0].isupper() or _NUMBERED.match(text) is not None


def _level(line: Line, look: Look) -> int:
    """By the words it opens with, else 1 for the largest fonts down to 3 for bold text of ordinary size."""
    if _PART.match(line.text):
        return 1
    if _SECTION.match(line.text):
        return 2
    ratio = line.size / look.size if look.size else 1.0
    if ratio < LARGER and (numbered := _NUMBERED.match(line.text)):
        return 2 + numbered[1].count(".")
    return 1 if ratio >= 1.5 else 2 if ratio >= LARGER else 3


def _ends(line: Line, following: Line, kind: str, width: int) -> bool:
    """Whether a run ends with `line`: a paragraph at a stop well before the right edge, a heading unless it wraps."""
    if kind == "heading":
        return len(line.text) < 0.5 * width or (line.size, line.bold) != (following.size, following.bold)
    if kind == "text":
        stops = line.text.endswith((".", "!", "?", ":")) and len(line.text) < 0.8 * width
        return stops or _ITEM.match(following.text) is not None
    return False


def _joined(lines: list[Line], width: int) -> str:
    """A paragraph's lines as running text, words that were broken at a line end whole again.

    A line that ends well before the right edge was not wrapped: it is a row of a table or an address, and stays one.
    """
    text = lines[0].text
    for before, line in pairwise(lines):
        if _HYPHEN.search(text) and line.text[:1].islower():
            text = text[:-1] + line.text
        else:
            text = f"{text}{' ' if _wraps(before.text, line.text, width) else chr(10)}{line.text}"
    return text


def _wraps(before: str, after: str, width: int) -> bool:
    """Whether `after` goes on the sentence of `before`: that one is full, and not a row that ends in its figure."""
    return len(before) >= FULL * width and not (_FIGURE_END.search(before) and after[:1].isupper())


def ranges(numbers: list[int]) -> str:
    """`1-3, 7` for 1, 2, 3, 7; at most twenty ranges."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges[:20])
    return shown + (", …" if len(ranges) > 20 else "")
