"""PDF by pypdfium2, page by page: it keeps a table's row on one line and is 45 times as fast as the alternatives.

Headings are found by their font: lines that are short and set larger than most of the text, or bold as a whole.
Pages without a text layer are read by OCR where that is installed; those that stay empty are named in the note.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ingest.model import ItemError
from ingest.parsing.clean import inline
from ingest.parsing.crossing import join_across_pages
from ingest.parsing.draft import Draft
from ingest.parsing.ocr import Reader, rendered
from ingest.parsing.source import Source, broken

HEADING_MAX = 120
"""Longest heading in characters."""
LARGER = 1.12
"""Times the size of most text from which a line counts as larger."""
FULL = 0.7
"""Share of the longest line's length from which a line counts as wrapped."""
BOLD = 650
"""Font weight from which a line counts as bold."""

_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_BOLD_NAMES = (b"Bold", b"Black", b"Heavy", b"Semibold")
_FIGURE = r"[$€£]?\s?\(?[-+\u2212]?[$€£]?\d(?:[\d,.]*\d)?\s?%?\)?"
_ROW = re.compile(rf"(?:(?:^|\s)(?:{_FIGURE}|[-\u2014\u2013])){{2,}}$")
_FIGURE_END = re.compile(r"(?:^|\s)[$(]*\d[\d,.]*[%)]*$")
_PART = re.compile(r"(part|chapter|teil|kapitel)\s+[\divxlc]+\b", re.IGNORECASE)
_SECTION = re.compile(r"(item|section|article|note|exhibit|appendix|§)\s*\d+", re.IGNORECASE)
_ITEM = re.compile(r"\s*([-*•▪◦●○■□]|\(?[a-z0-9]{1,3}[.)])\s+\S")
_HYPHEN = re.compile(r"[a-z]-$")
_LETTER = re.compile(r"[^\W\d_]")
_PASSWORD = 4
"""pdfium's error code for a missing or wrong password."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page with the font of its first visible character; size 0: unknown."""

    text: str
    size: float = 0.0
    bold: bool = False


def parse_pdf(source: Source, draft: Draft) -> None:
    """Fills `draft` from a PDF; page numbers count from 1."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(source.body)
    except pypdfium2.PdfiumError as error:
        raise _refused(source, error) from None
    try:
        draft.page_limit(len(document))
        _read_metadata(document, draft)
        pages = [_read_page(document, number) for number in range(len(document))]
        _read_scans(document, pages, draft)
    except pypdfium2.PdfiumError:
        raise broken(source.name, "a page cannot be loaded") from None
    finally:
        document.close()
    fill_pages(draft, pages)


def _read_scans(document: Any, pages: list[list[Line]], draft: Draft) -> None:
    """Reads the pages that have no text layer as pictures."""
    reader = Reader(draft.limits)
    read: list[int] = []
    for index, lines in enumerate(pages):
        if lines or not reader.ready():
            continue
        page = document[index]
        try:
            pages[index] = [Line(line) for line in reader.lines(rendered(page))]
        finally:
            page.close()
        if pages[index]:
            read.append(index + 1)
    if read:
        draft.notes.append(f"Pages read by OCR: {_ranges(read)}.")
    draft.notes.extend(sorted(reader.notes))


def _refused(source: Source, error: Exception) -> ItemError:
    if getattr(error, "err_code", None) == _PASSWORD or "password" in str(error).lower():
        return ItemError("file_encrypted", f"'{source.name}' is encrypted with a password.")
    return broken(source.name, "it is not a whole PDF")


def _read_metadata(document: Any, draft: Draft) -> None:
    """Title and author; a title without a letter (a filing number) is none."""
    found = document.get_metadata_dict()
    title = inline(found.get("Title") or "")
    draft.title = title if _LETTER.search(title) else ""
    draft.author = inline(found.get("Author") or "") or None


def _read_page(document: Any, index: int) -> list[Line]:
    page = document[index]
    try:
        text_page = page.get_textpage()
        try:
            text: str = text_page.get_text_bounded()
            fonts = _fonts(text_page)
        finally:
            text_page.close()
    finally:
        page.close()
    lines = (inline(line.translate(_LIGATURES)) for line in re.split(r"[\r\n]+", text))
    return [Line(line, *fonts.get(line, (0.0, False))) for line in lines if line]


def _fonts(text_page: Any) -> dict[str, tuple[float, bool]]:
    """Font size and boldness of each line by its text; empty where characters and text do not align."""
    length = text_page.count_chars()
    text = text_page.get_text_range() if length > 0 else ""
    if len(text) != length:
        return {}
    found: dict[str, tuple[float, bool]] = {}
    start = 0
    for piece in text.split("\n"):
        line = inline(piece.translate(_LIGATURES))
        if line:
            first, last = start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()) - 1
            found[line] = _font(text_page, first, last, short=len(line) <= HEADING_MAX)
        start += len(piece) + 1
    return found


def _font(text_page: Any, first: int, last: int, *, short: bool) -> tuple[float, bool]:
    """Size at the first character; bold if the first and the last are. Long lines are no headings, so not asked."""
    import pypdfium2.raw as pdfium

    size = round(pdfium.FPDFText_GetFontSize(text_page.raw, first), 1)
    return size, short and all(_is_bold(text_page, at) for at in (first, last))


def _is_bold(text_page: Any, at: int) -> bool:
    import pypdfium2.raw as pdfium

    if pdfium.FPDFText_GetFontWeight(text_page.raw, at) >= BOLD:
        return True
    name = ctypes.create_string_buffer(128)
    pdfium.FPDFText_GetFontInfo(text_page.raw, at, name, len(name), ctypes.byref(ctypes.c_int()))
    return any(part in name.value for part in _BOLD_NAMES)


def fill_pages(draft: Draft, pages: list[list[Line]]) -> None:
    """Headings, tables and paragraphs from the lines of each page."""
    style = _body_style(pages)
    repeated = _running(pages)
    empty: list[int] = []
    for number, lines in enumerate(pages, start=1):
        if not lines:
            empty.append(number)
        _fill_page(draft, number, [line for line in lines if _key(line) not in repeated], style)
    draft.elements = join_across_pages(draft.elements)
    if empty:
        draft.notes.append(f"Pages without text: {_ranges(empty)}.")
    if not draft.title and pages and pages[0]:
        draft.title = _title(pages[0])


def _title(lines: list[Line]) -> str:
    """The largest of the first lines that has a letter in it."""
    candidates = [line for line in lines[:15] if _LETTER.search(line.text) and len(line.text) <= HEADING_MAX]
    return max(candidates, key=lambda line: line.size).text if candidates else ""


def _body_style(pages: list[list[Line]]) -> tuple[float, bool]:
    """Size and boldness of most of the text."""
    weights: Counter[tuple[float, bool]] = Counter()
    for lines in pages:
        for line in lines:
            weights[line.size, line.bold] += len(line.text)
    return weights.most_common(1)[0][0] if weights else (0.0, False)


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


def _fill_page(draft: Draft, number: int, lines: list[Line], style: tuple[float, bool]) -> None:
    width = max((len(line.text) for line in lines if not _ROW.search(line.text)), default=0)
    for kind, group in _groups(lines, style, width):
        if kind == "heading":
            draft.heading(" ".join(line.text for line in group), _level(group[0], style), number)
        elif kind == "table":
            draft.table(([line.text] for line in group), number, has_header=False)
        else:
            draft.text(_joined(group, width), number)


def _groups(lines: list[Line], style: tuple[float, bool], width: int) -> Iterator[tuple[str, list[Line]]]:
    """Runs of lines that belong together, each with its kind."""
    current: list[Line] = []
    kind = ""
    for line, new in zip(lines, _kinds(lines, style, width), strict=True):
        if current and (new != kind or _ends(current[-1], line, kind, width)):
            yield kind, current
            current = []
        kind = new
        current.append(line)
    if current:
        yield kind, current


def _kinds(lines: list[Line], style: tuple[float, bool], width: int) -> list[str]:
    """The kind of each line; one or two short lines between rows of a table are its labels."""
    kinds = ["table" if _ROW.search(line.text) else "text" for line in lines]
    for index, line in enumerate(lines[:-1]):
        if kinds[index] == "text" and _is_heading(line, style):
            kinds[index] = "heading"
    rows = [index for index, kind in enumerate(kinds) if kind == "table"]
    for before, after in pairwise(rows):
        between = lines[before + 1 : after]
        if 0 < len(between) <= 2 and all(len(line.text) < FULL * width for line in between):
            kinds[before + 1 : after] = ["table"] * len(between)
    return kinds


def _is_heading(line: Line, style: tuple[float, bool]) -> bool:
    size, bold = style
    if not 2 < len(line.text) <= HEADING_MAX or not _LETTER.search(line.text) or line.text.endswith((".", ",", ";")):
        return False
    larger = size > 0 and line.size >= size * LARGER
    return larger or (line.bold and not bold and line.size >= size and line.text[0].isupper())


def _level(line: Line, style: tuple[float, bool]) -> int:
    """By the words it opens with, else 1 for the largest fonts down to 3 for bold text of ordinary size."""
    if _PART.match(line.text):
        return 1
    if _SECTION.match(line.text):
        return 2
    ratio = line.size / style[0] if style[0] else 1.0
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


def _ranges(numbers: list[int]) -> str:
    """`1-3, 7` for 1, 2, 3, 7; at most twenty ranges."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges[:20])
    return shown + (", …" if len(ranges) > 20 else "")
