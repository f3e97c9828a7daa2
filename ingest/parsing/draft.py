"""The document while a parser fills it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ingest.model import Element, ItemError
from ingest.parsing.clean import block, cell, inline, prose
from ingest.parsing.limits import Limits

MAX_ELEMENTS = 500_000
"""Most elements of a document; each takes a hundred bytes however short it is."""


@dataclass(slots=True)
class Draft:
    """Collects elements, cleaned and counted against the limit on text.

    Attributes:
        name: what error messages call the file.
        notes: what could not be read though the rest was.
    """

    name: str
    limits: Limits
    title: str = ""
    author: str | None = None
    modified_at: datetime | None = None
    elements: list[Element] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    characters: int = 0

    def heading(self, text: str, level: int = 1, page: int | None = None) -> None:
        """Opens a section; `level` is brought into 1 to 6."""
        if line := inline(text):
            self._add(Element("heading", line, level=min(max(level, 1), 6), page=page))

    def text(self, text: str, page: int | None = None) -> None:
        """A paragraph; its line ends are kept."""
        if body := prose(text):
            self._add(Element("text", body, page=page))

    def code(self, text: str, page: int | None = None) -> None:
        """Text whose spaces carry meaning."""
        if body := block(text):
            self._add(Element("code", body, page=page))

    def list(self, items: Iterable[str], page: int | None = None) -> None:
        """List items, one a line, each with its mark."""
        if body := "\n".join(line for line in map(prose, items) if line):
            self._add(Element("list", body, page=page))

    def table(self, rows: Iterable[Sequence[str]], page: int | None = None, *, has_header: bool = True) -> None:
        """A table, one row a line; the first row is its header unless it is the only one."""
        lines: list[str] = []
        for row in rows:
            if line := table_row(row):
                self.count(len(line))
                lines.append(line)
        if lines:
            header = lines.pop(0) if has_header and len(lines) > 1 else None
            self.elements.append(Element("table", "\n".join(lines), page=page, header=header))

    def page_limit(self, pages: int) -> None:
        """Refuses a document of more pages than allowed.

        Raises:
            ItemError: `too_many_pages`.
        """
        if pages > self.limits.max_pages:
            detail = f"'{self.name}' has {pages} pages; at most {self.limits.max_pages} are parsed."
            raise ItemError("too_many_pages", detail)

    def count(self, characters: int) -> None:
        """Adds to the text extracted so far.

        Raises:
            ItemError: `expansion_too_large`.
        """
        self.characters += characters
        if self.characters > self.limits.max_text:
            detail = f"'{self.name}' holds more than {self.limits.max_text} characters of text."
            raise ItemError("expansion_too_large", detail)

    def _add(self, element: Element) -> None:
        self.count(len(element.text))
        if len(self.elements) >= MAX_ELEMENTS:
            detail = f"'{self.name}' has more than {MAX_ELEMENTS} paragraphs."
            raise ItemError("expansion_too_large", detail)
        self.elements.append(element)


def table_row(cells: Sequence[str]) -> str:
    """Cells joined by ` | `, trailing empty ones left out; empty when every cell is."""
    texts = [cell(text) for text in cells]
    while texts and not texts[-1]:
        texts.pop()
    return " | ".join(texts)
