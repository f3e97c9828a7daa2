"""Words of a text in the light form in which a question and its answer are compared."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_INFLECTIONS = ("ing", "edly", "ed", "es", "s", "ly")
_DERIVATIONS = ("ation", "ement", "ment", "ance", "ence", "ator", "ate", "al", "ion")
_STOP_WORDS = """
    a about after all also am an and any are as at be been before being by can could did do does doing for from get
    had has have having he her here hers him his how i if in into is it its itself just long many may me might more
    most much must my need no nor not of often on once or other our ours out over own please same shall she should
    so some such tell than that the their theirs them then there these they this those through to too under until up
    very was we were what when where which while who whom whose why will with would you your yours
"""
_STOP = frozenset(_STOP_WORDS.split())


def words(text: str) -> list[str]:
    """Stemmed words in order, stop words left out; scripts without spaces give pairs of characters."""
    found: list[str] = []
    for match in _WORD.finditer(text.lower()):
        word = match.group().split("'")[0].split("\u2019")[0]
        if _CJK.search(word):
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        elif word not in _STOP:
            found.append(stem(word))
    return found


def stem(word: str) -> str:
    """`word` without its commonest English endings, so that `paging`, `pages` and `paged` are one; numbers stay."""
    if not word.isalpha() or len(word) < 4:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    stemmed = _cut(_cut(word, _INFLECTIONS, 3), _DERIVATIONS, 5)
    if len(stemmed) > 3 and stemmed[-1] == stemmed[-2] and stemmed[-1] not in "aeiouls":
        stemmed = stemmed[:-1]
    return stemmed[:-1] if stemmed.endswith("e") and len(stemmed) > 3 else stemmed


def _cut(word: str, endings: tuple[str, ...], least: int) -> str:
    for ending in endings:
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            return word[: -len(ending)]
    return word
