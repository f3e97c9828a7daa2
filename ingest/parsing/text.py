"""Plain text and source code, on the standard library: paragraphs at blank lines, form feeds as page ends."""

from __future__ import annotations

import re

from ingest.parsing.clean import clean, decode
from ingest.parsing.draft import Draft
from ingest.parsing.source import Source

PARAGRAPHS = re.compile(r"\n[^\S\n]*\n\s*")
_ITEM = re.compile(r"\s*([-*+•]|\d{1,3}[.)])\s+\S")
TITLE_MAX = 120
"""Longest first line, in characters, that is taken for a title."""


def parse_text(source: Source, draft: Draft) -> None:
    """Fills `draft` from plain text."""
    content = clean(decode(source.read())).replace("\f", "\n\n")
    paragraphs = [part for part in PARAGRAPHS.split(content.strip()) if part.strip()]
    if len(paragraphs) > 1 and _is_title(paragraphs[0]):
        draft.title = paragraphs[0].strip()
        draft.heading(paragraphs.pop(0))
    for part in paragraphs:
        if all(_ITEM.match(line) for line in part.split("\n")):
            draft.list(part.split("\n"))
        else:
            draft.text(part)


def parse_code(source: Source, draft: Draft) -> None:
    """Fills `draft` from source code or data: its blocks, indentation kept."""
    for part in re.split(r"\n[^\S\n]*\n+", clean(decode(source.read()))):
        draft.code(part)


def _is_title(paragraph: str) -> bool:
    line = paragraph.strip()
    return "\n" not in line and len(line) <= TITLE_MAX and not line.endswith((".", ",", ";", ":", "!", "?"))
