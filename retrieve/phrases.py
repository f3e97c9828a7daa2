"""What a question's words are, told apart by rule: names, periods, and the subject."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+(?:[-'\u2019.&][^\W_]+)*")
_PERIOD = re.compile(
    r"\b(?:(?:Q[1-4]|H[12]|FY|first|second|third|fourth)\W{0,2}(?:quarter\W{0,2}(?:of\W{0,2})?)?)?(?:19|20)\d{2}\b"
    r"|\bQ[1-4]\b|\bFY\d{2}\b",
    re.IGNORECASE,
)
_CAPITAL = r"[^\W\d_a-z][\w&.\u2019'-]*"
_NAMED = re.compile(rf"(?<![^\W_]){_CAPITAL}(?:\s+(?:(?:of|and|the|&)\s+)?{_CAPITAL})*")
_QUOTED = re.compile(r"[\"“«]([^\"”»]{2,80})[\"”»]")
_PLACED = re.compile(r"\b(in|at|for|of|to|from|by|with|on|under)\s+(?:the\s+)?$", re.IGNORECASE)
_TERM = re.compile(r"[^\W\d_a-z]{3,}|[^\W\d_a-z]+&[^\W\d_a-z]+")
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


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a question.

    Attributes:
        text: its words.
        placed: the preposition before it, as in "in Mexico"; empty: none.
        term: whether it is an acronym, which more often names what is asked of somebody than somebody: EBITDA, SG&A.
    """

    text: str
    placed: str = ""
    term: bool = False


@dataclass(frozen=True, slots=True)
class Phrases:
    """A question's names, the words of substance that are neither names nor periods, and its periods."""

    names: tuple[Name, ...]
    subject: tuple[str, ...]
    periods: tuple[str, ...]


def words(text: str) -> list[str]:
    """Every word."""
    return _WORD.findall(text)


def substance(found: Iterable[str]) -> list[str]:
    """Those of the words that say something by themselves."""
    return [word for word in found if word.casefold() not in _PLAIN]


def phrases(text: str) -> Phrases:
    """The parts of a question."""
    bare = _PERIOD.sub(" ", text)
    names = tuple(_names(bare))
    named = {word.casefold() for name in names for word in words(name.text)}
    subject = tuple(word for word in substance(words(bare)) if word.casefold() not in named)
    return Phrases(names, subject, tuple(found.group() for found in _PERIOD.finditer(text)))


def _names(text: str) -> Iterable[Name]:
    """Quoted phrases and capitalised words, but for a capital that only opens a sentence."""
    yield from (Name(found) for found in _QUOTED.findall(text))
    for found in _NAMED.finditer(text):
        before = text[: found.start()]
        opens = not before.strip() or before.rstrip()[-1] in ".?!:"
        parts = substance(found.group().split())
        if opens and parts and parts[0] == found.group().split()[0] and not _is_name(parts[0]):
            parts = parts[1:]
        if parts:
            placed = _PLACED.search(before)
            yield from _told_apart(parts, placed[1].casefold() if placed else "")


def _told_apart(parts: list[str], placed: str) -> Iterable[Name]:
    """An acronym before a name is one of its own, as in "EBITDA of Corning"."""
    if _TERM.fullmatch(parts[0]) is None:
        yield Name(" ".join(parts), placed)
        return
    yield Name(parts[0], placed, term=True)
    if parts[1:]:
        yield Name(" ".join(parts[1:]))


def _is_name(word: str) -> bool:
    """Whether a capital at the start of a sentence is more than that: a further capital or a digit within."""
    return any(letter.isupper() or letter.isdigit() for letter in word[1:])
