"""A passage cut into what can be quoted by itself: sentences, list lines, table rows with their header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_CHARS = 500
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*$")
_BULLET = re.compile(r"^\s*(?:[-*+\u2022\u2023\u25aa\u2013]|\(?(?:\d{1,3}|[a-z])[.)])\s+(?=\S)")
_RULE = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*$")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_END = re.compile(
    r"[.!?\u2026]+[\"'\u201d\u2019)\]*_]*\s+(?=[\"'\u201c\u2018(\[*_]*[A-Z0-9\u00c0-\u00de\u0391-\u042f])|[\u3002\uff01\uff1f]+"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|a\.k\.a|cf|vs|etc|approx|incl|excl|est|min|max|no|nos|fig|sec|art|par|ch|vol|p|pp|ed|dept"
    r"|mr|mrs|ms|dr|prof|st|sr|jr|inc|ltd|co|corp|gmbh|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
    r"|\b[A-Za-z]\.[A-Za-z]|(?:^|\s)[A-Z])\.$",
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"(?:^|\s)\d{1,3}\.$")


@dataclass(frozen=True, slots=True)
class Segment:
    """Something quotable.

    Attributes:
        text: one line, as the document has it but for markup of lists and tables.
        context: heading, lead-in or question right above it: what it is about, not part of the quote.
    """

    text: str
    context: str = ""


@dataclass(slots=True)
class _Reader:
    """Where the reading of one passage stands."""

    heading: str = ""
    lead: str = ""
    prose: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    ruled: bool = False


def segments(text: str) -> list[Segment]:
    """The quotable parts of a passage in reading order; headings and questions only give context."""
    reader = _Reader()
    found: list[Segment] = []
    for line in text.splitlines():
        found += _read(reader, line)
    found += _flush(reader)
    return found


def sentences(text: str) -> list[str]:
    """Sentences of one paragraph; abbreviations, initials and list numbers do not end one."""
    found, start = [], 0
    for match in _END.finditer(text):
        upto = text[start : match.end()].rstrip()
        core = upto.rstrip("\"'\u201d\u2019)]*_")
        if core.endswith(".") and (_ABBREVIATION.search(core) or _LIST_NUMBER.search(core)):
            continue
        found.append(upto)
        start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def _read(reader: _Reader, line: str) -> Iterator[Segment]:
    """Takes one line; yields what it ends."""
    if not line.strip() or _FENCE.match(line):
        yield from _flush(reader)
    elif heading := _HEADING.match(line):
        yield from _flush(reader)
        reader.heading, reader.lead = heading.group(1), ""
    elif _RULE.match(line) and reader.rows:
        reader.ruled = len(reader.rows) == 1
    elif cells := _cells(line):
        if reader.prose:
            yield from _flush(reader)
        reader.rows.append(cells)
    else:
        if reader.rows or _BULLET.match(line) or _ends_line(reader.prose, line):
            yield from _flush(reader, keep_lead=True)
        reader.prose.append(_BULLET.sub("", line).strip())


def _ends_line(prose: list[str], line: str) -> bool:
    """Whether the line before stands by itself and is not wrapped prose: it is short and a capital follows."""
    if not prose:
        return False
    last = prose[-1]
    return last.endswith(":") or (len(last) < 40 and last[-1] not in ",;-" and not line.lstrip()[0].islower())


def _cells(line: str) -> list[str]:
    stripped = line.strip()
    if "\t" in stripped:
        cells = stripped.split("\t")
    elif stripped.startswith("|") or stripped.count(" | ") >= 1:
        cells = stripped.strip("|").split("|")
    else:
        return []
    return [cell.strip() for cell in cells]


def _flush(reader: _Reader, *, keep_lead: bool = False) -> Iterator[Segment]:
    rows, prose, ruled = reader.rows, " ".join(reader.prose), reader.ruled
    reader.rows, reader.prose, reader.ruled = [], [], False
    if rows:
        yield from _table(rows, ruled, _context(reader))
    if not prose:
        return
    for sentence in sentences(prose):
        if sentence.endswith(("?", ":")):
            reader.lead = sentence
            continue
        for part in _bounded(sentence):
            yield Segment(part, _context(reader))
        if not keep_lead and not reader.lead.endswith((":", "?")):
            reader.lead = ""


def _context(reader: _Reader) -> str:
    return f"{reader.heading} {reader.lead}".strip()


def _table(rows: list[list[str]], ruled: bool, context: str) -> Iterator[Segment]:
    header, body = _header(rows, ruled)
    for cells in body:
        pairs = [
            f"{header[i]}: {cell}" if i < len(header) and header[i] else cell for i, cell in enumerate(cells) if cell
        ]
        if pairs:
            yield from (Segment(part, context) for part in _bounded("; ".join(pairs)))


def _header(rows: list[list[str]], ruled: bool) -> tuple[list[str], list[list[str]]]:
    """The header and the rest; an unruled first row is a header when it holds no digit and others follow."""
    if ruled or (len(rows) > 1 and not any(char.isdigit() for cell in rows[0] for char in cell)):
        return rows[0], rows[1:]
    return [], rows


def _bounded(text: str) -> Iterator[str]:
    """`text` in parts of at most `MAX_CHARS`, cut after a semicolon, a comma or a space where there is one."""
    while len(text) > MAX_CHARS:
        cut = next((at + 1 for mark in ("; ", ", ", " ") if (at := text.rfind(mark, 80, MAX_CHARS)) > 0), MAX_CHARS)
        yield text[:cut].strip()
        text = text[cut:].strip()
    if text:
        yield text
