"""A follow-up question made searchable by itself, without a model.

"And in 2022?" means nothing to an index. Where a question is short or points back ("it", "they", "what about"), the
names, periods and, failing those, the words of the person's earlier questions are searched along with it. Only what
the person wrote is carried: an earlier answer may rest on passages that they have lost the right to since.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

TURNS = 4
"""Earlier questions that are looked at."""
_SHORT = 4
"""Words of substance, below which a question is taken to lean on what came before."""
_LONG = 6
"""Words of substance, from which a question's pronouns are taken to point within it."""
_SWAPPED = 2
"""Most words of substance of a question like "And fragrance?", which puts them in the place of one of those before."""
_CARRIED = 12
"""Most words that are carried over."""

_WORD = re.compile(r"[^\W_]+(?:[-'\u2019.&][^\W_]+)*")
_PERIOD = re.compile(
    r"\b(?:(?:Q[1-4]|H[12]|FY|first|second|third|fourth)\W{0,2}(?:quarter\W{0,2}(?:of\W{0,2})?)?)?(?:19|20)\d{2}\b"
    r"|\bQ[1-4]\b|\bFY\d{2}\b",
    re.IGNORECASE,
)
_CAPITAL = r"[^\W\d_a-z][\w&.\u2019'-]*"
_NAMED = re.compile(rf"(?<![^\W_]){_CAPITAL}(?:\s+(?:(?:of|and|the|&)\s+)?{_CAPITAL})*")
_QUOTED = re.compile(r"[\"“«]([^\"”»]{2,80})[\"”»]")
_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|that|these|those|there|then|same|such|former"
    r"|latter|one|ones|above|previous|mentioned)\b",
    re.IGNORECASE,
)
_ON = re.compile(r"^\W*(?:and|or|but|so|also|then|what about|how about|what else|why|when|where|who)\b", re.IGNORECASE)
_SWAP = re.compile(r"^\W*(?:and|or|what about|how about)\b", re.IGNORECASE)
_PLAIN = frozenset((
    "a", "about", "above", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but",
    "by", "can", "could", "did", "do", "does", "else", "explain", "for", "former", "from", "give", "had",
    "has", "have", "he", "her", "hers", "him", "his", "how", "i", "if", "in", "is", "it", "its", "latter",
    "list", "many", "may", "me", "mean", "mentioned", "might", "more", "most", "much", "my", "name", "no",
    "not", "of", "on", "one", "ones", "or", "other", "our", "out", "over", "please", "previous", "same", "say",
    "she", "should", "show", "so", "some", "such", "tell", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "those", "to", "too", "under", "up", "us", "use", "was", "we", "were",
    "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will", "with", "would", "you",
    "your",
))  # fmt: skip


def rewrite(text: str, history: Sequence[str], *, longest: int) -> str:
    """`text` with what it leans on; unchanged where it stands by itself or there was nothing before.

    Args:
        history: the person's earlier questions, oldest first.
        longest: most characters of the result; what does not fit is not carried.
    """
    recent = list(reversed(history[-TURNS:]))
    if not recent or not leans(text):
        return text
    kept = _new(_carried(text, recent), {word.casefold() for word in _WORD.findall(text)})[:_CARRIED]
    while kept and len(text) + 1 + len(" ".join(kept)) > longest:
        kept.pop()
    return f"{text} {' '.join(kept)}" if kept else text


def leans(text: str) -> bool:
    """Whether a question needs what came before: it points back, opens as a continuation, or says little."""
    found = _WORD.findall(text)
    words = [word for word in found if word.casefold() not in _PLAIN]
    if len(words) == len(found) <= _SHORT:
        return True
    if len(words) < _SHORT and (_ON.search(text) or len(words) < _SHORT - 1):
        return True
    return len(words) < _LONG and _BACK.search(text) is not None and not _named(text)


def _carried(text: str, recent: Sequence[str]) -> list[str]:
    """Names, subject and period, each from the latest question that has any, and only where `text` has none itself:
    "and in 2022?" is not about 2021 any more, and "how about Corning?" not about the company before.
    """
    names = [] if _named(text) else _latest(recent, _named)
    periods = [] if _PERIOD.search(text) else _latest(recent, _periods)
    own = _subject(text)
    lacks = not own or not (names or periods) or (len(own) <= _SWAPPED and _SWAP.search(text) is not None)
    return [*names, *(_latest(recent, _subject) if lacks else []), *periods]


def _latest(recent: Sequence[str], part: Callable[[str], list[str]]) -> list[str]:
    return next((found for one in recent if (found := part(one))), [])


def _named(text: str) -> list[str]:
    return [word for name in _names(_PERIOD.sub(" ", text)) for word in name.split()]


def _periods(text: str) -> list[str]:
    return [found.group() for found in _PERIOD.finditer(text)]


def _subject(text: str) -> list[str]:
    """Words of substance that are neither names nor periods."""
    named = {word.casefold() for name in _named(text) for word in _WORD.findall(name)}
    words = _WORD.findall(_PERIOD.sub(" ", text))
    return [word for word in words if word.casefold() not in _PLAIN and word.casefold() not in named]


def _names(text: str) -> Iterable[str]:
    """Quoted phrases and capitalised words, but for a capital that only opens a sentence."""
    yield from _QUOTED.findall(text)
    for found in _NAMED.finditer(text):
        opens = not text[: found.start()].strip() or text[: found.start()].rstrip()[-1] in ".?!:"
        words = [word for word in found.group().split() if word.casefold() not in _PLAIN]
        if opens and words and words[0] == found.group().split()[0] and not _is_name(words[0]):
            words = words[1:]
        if words:
            yield " ".join(words)


def _is_name(word: str) -> bool:
    """Whether a capital at the start of a sentence is more than that: a further capital or a digit within."""
    return any(letter.isupper() or letter.isdigit() for letter in word[1:])


def _new(words: Iterable[str], present: set[str]) -> list[str]:
    """Words that are not there yet, each once."""
    found = []
    for word in words:
        folded = word.casefold().strip(".'\u2019")
        if folded and folded not in present:
            present.add(folded)
            found.append(word)
    return found
