"""A follow-up question made searchable by itself, without a model.

"And in 2022?" means nothing to an index. Where a question is short or points back ("it", "they", "what about"), what
the conversation is about is searched along with it: names, subject and period, as the person's earlier questions gave
them one after the other. Only what the person wrote is carried: an earlier answer may rest on passages that they have
lost the right to since.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from retrieve.phrases import Name, Phrases, phrases, substance, words

TURNS = 8
"""Earlier questions that are looked at."""
_SHORT = 4
"""Words of substance, below which a question is taken to lean on what came before."""
_LONG = 6
"""Words of substance, from which a question's pronouns are taken to point within it."""
_CARRIED = 14
"""Most words that are carried over."""

_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|that|these|those|there|then|same|such|former"
    r"|latter|one|ones|above|previous|mentioned)\b",
    re.IGNORECASE,
)
_ON = re.compile(r"^\W*(?:and|or|but|so|also|then|what about|how about|what else|why|when|where|who)\b", re.IGNORECASE)
_SWAP = re.compile(r"^\W*(?:and|or|what about|how about)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Topic:
    """What a conversation is about after some of its questions.

    Attributes:
        subject: of the last question that stood by itself.
        detail: what the last follow-up added to it.
    """

    names: tuple[Name, ...] = ()
    subject: tuple[str, ...] = ()
    detail: tuple[str, ...] = ()
    periods: tuple[str, ...] = ()

    def after(self, text: str) -> _Topic:
        """The topic once `text` was asked."""
        asked = phrases(text)
        if not leans(text):
            return _Topic(asked.names, asked.subject, (), asked.periods)
        return self.with_follow_up(text, asked)

    def with_follow_up(self, text: str, asked: Phrases) -> _Topic:
        """The topic with what a question that leans on it says itself."""
        names = self.names
        if asked.names:
            swaps = _SWAP.search(text) is not None or not asked.subject
            names = (*(_left(names, asked.names) if swaps else names), *asked.names)
        return _Topic(
            names=tuple(dict.fromkeys(names)),
            subject=self.subject or asked.subject,
            detail=(asked.subject if self.subject else ()) or self.detail,
            periods=asked.periods or self.periods,
        )

    @property
    def told(self) -> Iterable[str]:
        """Its words, what matters most first."""
        named = (word for name in self.names for word in name.text.split())
        return (*named, *self.periods, *self.detail, *self.subject)


def rewrite(text: str, history: Sequence[str], *, longest: int) -> str:
    """`text` with what it leans on; unchanged where it stands by itself or there was nothing before.

    Args:
        history: the person's earlier questions, oldest first.
        longest: most characters of the result; what does not fit is not carried.
    """
    if not history or not leans(text):
        return text
    topic = _Topic()
    for one in history[-TURNS:]:
        topic = topic.after(one)
    leaning = replace(topic.with_follow_up(text, phrases(text)), detail=topic.detail)
    kept = _new(leaning.told, {word.casefold() for word in words(text)})[:_CARRIED]
    while kept and len(text) + 1 + len(" ".join(kept)) > longest:
        kept.pop()
    return f"{text} {' '.join(kept)}" if kept else text


def leans(text: str) -> bool:
    """Whether a question needs what came before: it points back, opens as a continuation, or says little."""
    found = words(text)
    said = substance(found)
    if len(said) == len(found) <= _SHORT:
        return True
    if len(said) < _SHORT and (_ON.search(text) or len(said) < _SHORT - 1):
        return True
    return len(said) < _LONG and _BACK.search(text) is not None and not phrases(text).names


def _left(names: Sequence[Name], given: Sequence[Name]) -> Sequence[Name]:
    """The names that stay when others are given in the place of some: "in Mexico" stands in the place of "in Canada",
    "Corning" in that of the last name, an acronym in that of another alone.
    """
    left = list(names)
    for new in given:
        if new.placed:
            left = [name for name in left if name.placed != new.placed]
            continue
        alike = [name for name in left if name.term == new.term]
        if alike:
            left.remove(alike[-1])
    return left


def _new(told: Iterable[str], present: set[str]) -> list[str]:
    """Words that are not there yet, each once."""
    found = []
    for word in told:
        folded = word.casefold().strip(".'\u2019")
        if folded and folded not in present:
            present.add(folded)
            found.append(word)
    return found
