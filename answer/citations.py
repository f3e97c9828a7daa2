"""Citations in an answer: markers such as `[2]` or `[1, 3]`, of which only issued numbers stay."""

from __future__ import annotations

import re
from collections.abc import Collection

# Bounded in every part, so that a stream never has to hold back more than `_LONGEST` characters.
MARKER = re.compile(r"[ ]?\[\s{0,3}\d{1,4}(?:\s{0,3}[,;]\s{0,3}\d{1,4}){0,15}\s{0,3}\]")
_LONGEST = 220
_UNFINISHED = re.compile(rf"[ ]?\[[\d\s,;]{{0,{_LONGEST}}}\Z|[ ]\Z")
_OPENED = re.compile(r"\[[\d\s,;]*\Z")
_NUMBER = re.compile(r"\d+")


class CitationStream:
    """Filters an answer that arrives in pieces cut anywhere; joined, its output is that of `clean`.

    Args:
        issued: numbers of the passages that were sent.
    """

    def __init__(self, issued: Collection[int]) -> None:
        self._issued = frozenset(issued)
        self._held = ""
        self._tail = ""
        self.cited: list[int] = []

    def feed(self, text: str) -> str:
        """What may be shown after this piece; a marker that may still be growing is held back."""
        text = self._held + text
        unfinished = _UNFINISHED.search(text)
        cut = unfinished.start() if unfinished else len(text)
        self._held = text[cut:]
        return self._filtered(text[:cut])

    def finish(self) -> str:
        """What was held back; `cited` is complete afterwards."""
        held, self._held = self._held, ""
        return self._filtered(held)

    def _filtered(self, text: str) -> str:
        shown, start = "", 0
        for marker in MARKER.finditer(text):
            shown += text[start : marker.start()]
            shown += self._kept(marker.group(), (self._tail + shown)[-_LONGEST:])
            start = marker.end()
        shown += text[start:]
        self._tail = (self._tail + shown)[-_LONGEST:]
        return shown

    def _kept(self, marker: str, before: str) -> str:
        numbers = list(
            dict.fromkeys(number for each in _NUMBER.findall(marker) if (number := int(each)) in self._issued)
        )
        self.cited += [number for number in numbers if number not in self.cited]
        if numbers:
            return f"{' ' if marker.startswith(' ') else ''}[{', '.join(map(str, numbers))}]"
        # `[2[9]]` without its inner marker would read `[2]`, which nobody issued.
        return "\u2026" if _OPENED.search(before) else ""


def clean(answer: str, issued: Collection[int]) -> tuple[str, list[int]]:
    """The answer with issued citations alone, and the numbers it cites in order of first use."""
    stream = CitationStream(issued)
    text = stream.feed(answer) + stream.finish()
    return text, stream.cited
