"""Where text may be cut: line ends, sentence ends, and, for want of either, tokens."""

from __future__ import annotations

import re

_CUT = re.compile(
    r"\n+[^\S\n]*"  # a line end; below: a stop, then a capital
    r"|(?<=[.!?\u2026])[\"'\u201d\u2019)\]]*\s+(?=[\"'\u201c\u2018(\[]*[A-Z0-9\u00c0-\U0010ffff])"
    r"|(?<=\s[.!?])\s+"  # a stop that stands alone, as in tokenized text
    r"|(?<=[\u3002\uff01\uff1f])"  # a stop of scripts that write no spaces
)
_LINES = re.compile(r"\n+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|[A-Za-z]\.[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nos|Fig|Figs|Eq|Eqs|Ref|Refs|Sec|Vol|pp?|vs|cf|al|"
    r"approx|Inc|Ltd|Co|Corp|Jr|Sr|Nr|bzw|Abs|Art)\.$"
)


def sentence_spans(text: str) -> list[tuple[int, int, bool]]:
    """Start and end of each sentence or line, in order, and whether a line ends there; gaps hold white space only."""
    spans: list[tuple[int, int, bool]] = []
    start = 0
    for found in _CUT.finditer(text):
        line_end = found[0].startswith("\n")
        end = found.end() if not found[0] else found.start() + len(found[0].rstrip())
        if end <= start or (not line_end and _ABBREVIATION.search(text[max(start, end - 8) : end])):
            continue
        spans.append((start, end, line_end))
        start = found.end()
    if text[start:].strip():
        spans.append((start, len(text), True))
    return spans


def line_spans(text: str) -> list[tuple[int, int, bool]]:
    """Start and end of each line that is not blank; indentation stays with its line."""
    spans: list[tuple[int, int, bool]] = []
    start = 0
    for found in (*_LINES.finditer(text), None):
        end = found.start() if found else len(text)
        if text[start:end].strip():
            spans.append((start, end, True))
        start = found.end() if found else end
    return spans


def token_spans(text: str, offsets: list[tuple[int, int]], size: int, longest: int) -> list[tuple[int, int]]:
    """Pieces of at most `size` tokens and `longest` characters, cut at spaces where the second half of a piece has one.

    Args:
        text: one long run of text.
        offsets: start and end of its tokens.
        size: tokens of a piece, at least 1.
        longest: characters of a piece: a word that is one unknown token may have any length.
    """
    starts = [start for start, _ in offsets] or [0]
    spans: list[tuple[int, int]] = []
    begin, index = 0, 0
    while begin < len(text):
        while index < len(starts) and starts[index] <= begin:
            index += 1
        after = index - 1 + size
        end = starts[after] if after < len(starts) else len(text)
        end = min(max(end, begin + 1), begin + longest)
        if end < len(text):
            space = text.rfind(" ", begin + (end - begin) // 2, end)
            end = space + 1 if space > begin else end
        spans.append((begin, end))
        begin = end
    return spans
