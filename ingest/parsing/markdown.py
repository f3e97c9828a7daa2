"""Markdown by a line scanner of our own: it keeps the source's text, and a tree is not needed for sections.

A CommonMark parser (markdown-it-py) was the alternative; it gives back rendered
inline text, while readers of a citation look for what the file says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ingest.parsing.clean import clean, decode
from ingest.parsing.draft import Draft
from ingest.parsing.source import Source

_HEADING = re.compile(r" {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)\s*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"\s*([-*+]|\d{1,9}[.)])\s+\S")
_RULE = re.compile(r" {0,3}([-*_])(?:\s*\1){2,}\s*$")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_CELL = re.compile(r"(?<!\\)\|")
_TITLE = re.compile(r"title:\s*(.+)")


def parse_markdown(source: Source, draft: Draft) -> None:
    """Fills `draft` from Markdown; the title is the front matter's, else the first heading of level 1."""
    lines = _without_comments(clean(decode(source.read())).replace("\f", "\n")).split("\n")
    Scanner(lines, draft).run(_front_matter(lines, draft))
    if not draft.title:
        tops = (e.text for e in draft.elements if e.kind == "heading" and e.level == 1)
        draft.title = next(tops, "")


def _without_comments(text: str) -> str:
    """`text` without HTML comments; by `find`, as a pattern takes quadratic time on comments that never end."""
    parts: list[str] = []
    start = 0
    while (opened := text.find("<!--", start)) >= 0 and (closed := text.find("-->", opened)) >= 0:
        parts.append(text[start:opened])
        start = closed + 3
    return "".join((*parts, text[start:]))


def _front_matter(lines: Sequence[str], draft: Draft) -> int:
    """Index of the first line after YAML front matter; takes its title and leaves the rest unread."""
    if not lines or lines[0].strip() != "---":
        return 0
    for index, line in enumerate(lines[1:200], start=1):
        if line.strip() in ("---", "..."):
            return index + 1
        if found := _TITLE.match(line):
            draft.title = found[1].strip().strip("'\"")
    draft.title = ""
    return 0


class Scanner:
    """Walks the lines once; each `_take_*` consumes one block and returns the index after it."""

    def __init__(self, lines: Sequence[str], draft: Draft) -> None:
        self.lines = lines
        self.draft = draft

    def run(self, start: int) -> None:
        """Adds every block from line `start` on."""
        index = start
        while index < len(self.lines):
            index = self._take(index)

    def _take(self, index: int) -> int:
        line = self.lines[index]
        if not line.strip():
            return index + 1
        if found := _HEADING.match(line):
            self.draft.heading(found[2] or "", len(found[1]))
            return index + 1
        if found := _FENCE.match(line):
            return self._take_fence(index, found[1])
        if self._table_at(index):
            return self._take_table(index)
        if _RULE.match(line):
            return index + 1
        return self._take_list(index) if _ITEM.match(line) else self._take_paragraph(index)

    def _take_fence(self, index: int, fence: str) -> int:
        end = index + 1
        while end < len(self.lines) and not self.lines[end].strip().startswith(fence):
            end += 1
        self.draft.code("\n".join(self.lines[index + 1 : end]))
        return end + 1

    def _table_at(self, index: int) -> bool:
        following = self.lines[index + 1] if index + 1 < len(self.lines) else ""
        return "|" in self.lines[index] and "|" in following and _TABLE_RULE.match(following) is not None

    def _take_table(self, index: int) -> int:
        end = index + 2
        while end < len(self.lines) and "|" in self.lines[end]:
            end += 1
        self.draft.table(_cells(line) for line in (self.lines[index], *self.lines[index + 2 : end]))
        return end

    def _take_list(self, index: int) -> int:
        """A list up to a blank line that no further item or indented line follows."""
        items: list[str] = []
        while index < len(self.lines) and not self._starts_other(index):
            line = self.lines[index]
            if not line.strip():
                if not self._list_goes_on(index + 1):
                    break
            elif _ITEM.match(line) or not items:
                items.append(line)
            else:
                items[-1] += " " + line.strip()
            index += 1
        self.draft.list(items)
        return index

    def _list_goes_on(self, index: int) -> bool:
        if index >= len(self.lines):
            return False
        line = self.lines[index]
        return bool(_ITEM.match(line)) or (line.startswith(("  ", "\t")) and bool(line.strip()))

    def _take_paragraph(self, index: int) -> int:
        end = index + 1
        while end < len(self.lines) and self.lines[end].strip() and not self._starts_other(end):
            if found := _SETEXT.match(self.lines[end]):
                self.draft.heading(" ".join(self.lines[index:end]), 1 if found[1][0] == "=" else 2)
                return end + 1
            end += 1
        self.draft.text("\n".join(self.lines[index:end]))
        return end

    def _starts_other(self, index: int) -> bool:
        line = self.lines[index]
        return bool(_HEADING.match(line) or _FENCE.match(line)) or self._table_at(index)


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    if inner.endswith("|") and not inner.endswith("\\|"):
        inner = inner[:-1]
    return [part.replace("\\|", "|").strip() for part in _CELL.split(inner)]
