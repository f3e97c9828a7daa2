"""Sentences that go on after the end of a page: they belong to the page on which they begin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ingest.model import Element

LONGEST = 1000
"""Characters of a sentence's rest that may move; more of it is no rest of a sentence."""
_SENTENCE_END = re.compile(r"[.!?][\"”»')\]]*(?=\s|$)")
_ENDED = re.compile(r"[.!?:;][\"”»')\]]*$")
_BROKEN_WORD = re.compile(r"[^\W\d_]-$")


def join_across_pages(elements: Sequence[Element]) -> list[Element]:
    """The elements, with the rest of a sentence moved from the top of a page to where the sentence began.

    Only running text moves, and only where it clearly goes on: the page before ends inside a sentence, and the next
    one begins with a small letter.
    """
    found: list[Element] = []
    for element in elements:
        before = found[-1] if found else None
        cut = _rest(before, element) if before is not None else 0
        if before is None or not cut:
            found.append(element)
            continue
        found[-1] = replace(before, text=_joined(before.text, element.text[:cut]))
        left = element.text[cut:].lstrip()
        if left:
            found.append(replace(element, text=left))
    return found


def _rest(before: Element, after: Element) -> int:
    """How many characters of `after` end the sentence that `before` began; 0: none do."""
    if before.kind != "text" or after.kind != "text" or before.page is None or after.page != before.page + 1:
        return 0
    if _ENDED.search(before.text) or not after.text[:1].islower():
        return 0
    end = _SENTENCE_END.search(after.text)
    cut = end.end() if end else len(after.text)
    return cut if cut <= LONGEST else 0


def _joined(start: str, rest: str) -> str:
    """A word that was broken at the end of the page is whole again."""
    return start[:-1] + rest if _BROKEN_WORD.search(start) else f"{start} {rest}"
