"""Tables in lines of text: which lines are rows, which stand above them as the heads of their columns.

A page knows no tables, only lines. A row ends in two figures or more; what stands above the first row without being a
sentence, mostly periods and units, says what the figures are, and belongs to every row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

HEADS_MOST = 240
"""Most characters of the lines above a table that are its column heads."""
STACK = 4
"""Short lines set over one another, from which they are column heads however they are set."""
LABELS_MOST = 3
"""Most lines between two rows that are labels within their table."""
SHORT = 40
"""Longest line in characters that can be one of several stacked ones that make up the heads."""
LABEL_CHARACTERS = 160
"""Most characters of such lines where they end in a colon, however wide they are."""
TAIL = 300
"""Characters at the end of a line in which its figures are looked for: a line may have any length."""
NARROW = 80
"""Fewest characters of a full line."""
FULL = 0.7
"""Share of the longest line's length from which a line counts as wrapped."""

TABLE = frozenset(("head", "row", "label"))
"""The kinds of lines that make up a table."""

_FIGURE = r"[$€£]?\s?\(?[-+\u2212]?[$€£]?\d(?:[\d,.]*\d)?(?:\s?%\)?|\)(?:\s?%)?)?"
_ROW = re.compile(rf"(?:(?:^|\s)(?:{_FIGURE}|[-\u2014\u2013])){{2,}}$")
_FIGURES = re.compile(rf"(?:^|\s)(?:{_FIGURE}|[-\u2014\u2013])(?=\s|$)")
_YEAR = r"(?:19|20)\d{2}"
_YEARS = re.compile(rf"(?:^|\s)(?:{_YEAR}\s+)+{_YEAR}$")
_PERIOD = re.compile(
    rf"\b{_YEAR}\b|\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\s+\d"
    r"|\b(?:weeks|months|quarters?|years?|days) ended\b",
    re.IGNORECASE,
)
_NOTE = re.compile(r"\(.*\)$")
_SENTENCE = re.compile(r"[.!?;][\"”»')\]]*$")


def is_row(text: str) -> bool:
    """Whether a line ends in at least two figures."""
    return _ROW.search(text[-TAIL:]) is not None


def columns(text: str) -> int:
    """How many figures a row ends in."""
    found = _ROW.search(text[-TAIL:])
    return len(_FIGURES.findall(found.group())) if found else 0


@dataclass(slots=True)
class Heads:
    """The column heads last seen, for the rest of a table that goes on below a note or on the next page.

    Attributes:
        text: the heads of the table in hand, on one line; empty: it has none.
    """

    text: str = ""
    _columns: int = 0

    def forget(self) -> None:
        """A new section begins; its tables have heads of their own."""
        self.text, self._columns = "", 0

    def over(self, lines: Sequence[str], kinds: Sequence[str]) -> list[str]:
        """The table's lines, its heads as one line before the others."""
        heads = [line for line, kind in zip(lines, kinds, strict=True) if kind == "head"]
        rows = [line for line, kind in zip(lines, kinds, strict=True) if kind != "head"]
        counts = Counter(count for count in map(columns, rows) if count)
        count = counts.most_common(1)[0][0] if counts else 0
        if heads:
            self.text, self._columns = " ".join(heads), count
        elif count != self._columns:
            self.forget()
        return [self.text, *rows] if self.text else rows


def table_kinds(texts: Sequence[str], kinds: Sequence[str], width: int) -> list[str]:
    """The kinds with those of tables told apart: `head`, `row`, and `label` for lines that are neither.

    Args:
        kinds: `text` or `heading` for each line.
        width: characters of a full line; a page of tables alone does not show it, so at least `NARROW` is taken.
    """
    width = max(width, NARROW)
    found = list(kinds)
    for index, text in enumerate(texts):
        if is_row(text):
            found[index] = "head" if _YEARS.search(text[-TAIL:]) else "row"
    _mark_labels(texts, found, width)
    for index in range(len(found)):
        if found[index] in ("head", "row") and (index == 0 or found[index - 1] not in TABLE):
            _mark_heads(texts, found, index, width)
    return found


def _mark_labels(texts: Sequence[str], kinds: list[str], width: int) -> None:
    """The few lines between two rows, or between heads and a row, are part of their table."""
    anchors = [index for index, kind in enumerate(kinds) if kind in ("head", "row")]
    for before, after in pairwise(anchors):
        between = texts[before + 1 : after]
        if not between or len(between) > LABELS_MOST or kinds[after] == "head":
            continue
        if all(len(text) < FULL * width and not _SENTENCE.search(text) for text in between) or _opens(between):
            kinds[before + 1 : after] = [
                "head" if kinds[before] == "head" and _is_head(text) else "label" for text in between
            ]


def _opens(between: Sequence[str]) -> bool:
    """Whether the lines are one label that ends in a colon, as in "Adjustments to reconcile … to net cash:"."""
    return between[-1].endswith(":") and sum(map(len, between)) <= LABEL_CHARACTERS


def _mark_heads(texts: Sequence[str], kinds: list[str], first: int, width: int) -> None:
    """The lines above a table that are no sentence: its column heads, and the labels between them and the first row."""
    start, room = first, HEADS_MOST
    while start and _may_head(texts, kinds, start - 1, width) and len(texts[start - 1]) <= room:
        start -= 1
        room -= len(texts[start])
    if start == first:
        return
    periods = [index for index in range(start, first) if _dated(texts[index])]
    below = first - periods[-1] - 1 if periods and kinds[first] != "head" else 0
    last = first - below if below < STACK else first
    for index in range(start, first):
        kinds[index] = "head" if index < last else "label"


def _may_head(texts: Sequence[str], kinds: Sequence[str], index: int, width: int) -> bool:
    if kinds[index] in TABLE or len(texts[index]) >= FULL * width or _SENTENCE.search(texts[index]):
        return False
    return kinds[index] != "heading" or _dated(texts[index]) or _stacked(texts, kinds, index)


def _stacked(texts: Sequence[str], kinds: Sequence[str], index: int) -> bool:
    """Whether what looks like a heading is one of several column heads set over one another, or a label below a period.

    A heading by itself ends the walk up.
    """
    first, last = index, index
    while first and kinds[first - 1] == "heading" and len(texts[first - 1]) <= SHORT and not _dated(texts[first - 1]):
        first -= 1
    while last + 1 < len(texts) and kinds[last + 1] == "heading" and len(texts[last + 1]) <= SHORT:
        last += 1
    above = texts[first - 1] if first and kinds[first - 1] not in TABLE else ""
    period = len(above) <= SHORT * 3 and not above.endswith(":") and _dated(above)
    return last - first + 1 >= STACK or (period and not _SENTENCE.search(above))


def _is_head(text: str) -> bool:
    """Whether a line below a period is more of the heads: another period, or a note in brackets to each column."""
    return _dated(text) or _NOTE.match(text) is not None


def _dated(text: str) -> bool:
    return _PERIOD.search(text) is not None
