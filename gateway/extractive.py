"""The built-in model: quotes the sentences of the evidence that best answer the question. No network, no weights."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from gateway.model import Completion, Delta, Evidence, ModelCall, Usage
from gateway.segments import segments
from gateway.terms import words

NO_ANSWER = "The passages I may use do not answer this."
Similarity: TypeAlias = Callable[[str, Sequence[str]], Sequence[float]]

_TOP_EVIDENCE = 8
_DENSE_CANDIDATES = 16
_MOST_QUOTES = 3
_CONTEXT_WEIGHT = 0.6
_TITLE_WEIGHT = 0.35
_RANK_WEIGHT = 0.05
_FIGURE_BONUS = 0.08
_LEAST_LEXICAL = 0.4
_LEAST_COMBINED = 0.3
_LEAST_SIMILARITY = 0.2
_STRICTER = 0.15
_ASKS_FIGURE = re.compile(
    r"\b(?:how (?:many|much|long|often|old|far|soon|late)|when|what (?:time|date|year))\b", re.IGNORECASE
)
_NAME = re.compile(r"(?<=\S )[A-Z][\w-]*")
_MARKED_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_FOREIGN_MARKER = re.compile(r"\[(\s*\d{1,4}(?:\s*[,;]\s*\d{1,4})*\s*)\]")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One quotable sentence with what is known of its worth; `score` grows from lexical to combined."""

    number: int
    rank: int
    text: str
    own: frozenset[str]
    context: frozenset[str]
    title: frozenset[str]
    lexical: float = 0.0
    score: float = 0.0


class Extractive:
    """Answers by quotation: one to three sentences, table rows or list lines, each with its citation.

    A sentence is as good as the share of the question's terms it holds, each weighed by how rare it is in the
    evidence (the BM25 inverse document frequency); terms in the heading or title above it count in part. With
    `similarity`, the mean of that and the cosine to the question decides.

    Args:
        similarity: cosine of a question to each of several texts, [-1, 1]; absent: words alone decide.
    """

    def __init__(self, similarity: Similarity | None = None) -> None:
        self._similarity = similarity

    def complete(self, call: ModelCall) -> Completion:
        """The quotes joined by line breaks, or `NO_ANSWER` without a citation."""
        return Completion("\n".join(self._quotes(call)), Usage())

    async def stream(self, call: ModelCall) -> AsyncIterator[Delta]:
        """One delta for each quote; `complete`'s text when joined."""
        quotes = await asyncio.to_thread(self._quotes, call)
        for place, quote in enumerate(quotes):
            yield Delta(quote if place == 0 else "\n" + quote)
        yield Delta(usage=Usage())

    def _quotes(self, call: ModelCall) -> list[str]:
        asked = frozenset(words(call.question))
        ranked = self._ranked(call.question, asked, _candidates(call.evidence[:_TOP_EVIDENCE]))
        return [_quote(each) for each in _pick(ranked, asked)] or [NO_ANSWER]

    def _ranked(self, question: str, asked: frozenset[str], found: list[_Candidate]) -> list[_Candidate]:
        """The related candidates, best first; ties keep the order of the evidence."""
        scored = _lexical(asked, found, figure=bool(_ASKS_FIGURE.search(question)))
        strict = _STRICTER if _names_unknown(question, found) else 0.0
        if self._similarity is None:
            return [each for each in scored if each.lexical >= _LEAST_LEXICAL + strict]
        scored = scored[:_DENSE_CANDIDATES]
        cosines = self._similarity(question, [each.text for each in scored]) if scored else []
        both = [
            replace(each, score=(each.score + cosine) / 2)
            for each, cosine in zip(scored, cosines, strict=True)
            if cosine >= _LEAST_SIMILARITY and (each.lexical + cosine) / 2 >= _LEAST_COMBINED + strict
        ]
        return sorted(both, key=lambda each: -each.score)


def _names_unknown(question: str, found: list[_Candidate]) -> bool:
    """Whether the question names something (a capital inside it) of which the evidence knows nothing at all."""
    known = frozenset[str]().union(*(each.own | each.context | each.title for each in found))
    return any(not known.issuperset(words(name)) for name in _NAME.findall(question))


def _candidates(evidence: Sequence[Evidence]) -> list[_Candidate]:
    found: dict[str, _Candidate] = {}
    for rank, passage in enumerate(evidence):
        title = frozenset(words(passage.title))
        for segment in segments(passage.text):
            candidate = _Candidate(
                passage.number, rank, segment.text, frozenset(words(segment.text)),
                frozenset(words(segment.context)), title,
            )  # fmt: skip
            if candidate.own:
                found.setdefault(" ".join(segment.text.lower().split()), candidate)
    return list(found.values())


def _lexical(asked: frozenset[str], found: list[_Candidate], *, figure: bool) -> list[_Candidate]:
    """Candidates with their lexical score, best first."""
    weights = _rarity(asked, found)
    total = sum(weights.values()) or 1.0
    scored = []
    for each in found:
        lexical = sum(weight * _presence(term, each) for term, weight in weights.items()) / total
        bonus = _RANK_WEIGHT / (1 + each.rank)
        if figure and any(char.isdigit() for char in each.text):
            bonus += _FIGURE_BONUS
        scored.append(replace(each, lexical=lexical, score=lexical + bonus))
    return sorted(scored, key=lambda each: -each.score)


def _presence(term: str, candidate: _Candidate) -> float:
    if term in candidate.own:
        return 1.0
    if term in candidate.context:
        return _CONTEXT_WEIGHT
    return _TITLE_WEIGHT if term in candidate.title else 0.0


def _rarity(asked: frozenset[str], found: list[_Candidate]) -> dict[str, float]:
    """Inverse document frequency of the question's terms over the candidates (Robertson and Zaragoza, 2009)."""
    counts = Counter(term for each in found for term in each.own & asked)
    size = len(found)
    return {term: math.log(1 + (size - counts[term] + 0.5) / (counts[term] + 0.5)) for term in sorted(asked)}


def _pick(ranked: list[_Candidate], asked: frozenset[str]) -> list[_Candidate]:
    """The best, and others that come close and say something new."""
    picked: list[_Candidate] = []
    for each in ranked:
        if len(picked) == _MOST_QUOTES or (picked and each.score < 0.75 * picked[0].score):
            break
        covered = frozenset[str]().union(*(one.own & asked for one in picked))
        close = not picked or each.score >= 0.9 * picked[0].score
        if (close or (each.own & asked) - covered) and not any(_alike(each, one) for one in picked):
            picked.append(each)
    return picked


def _alike(one: _Candidate, other: _Candidate) -> bool:
    return len(one.own & other.own) > 0.7 * len(one.own | other.own)


def _quote(candidate: _Candidate) -> str:
    """The sentence with its citation; numbers in brackets that the document itself holds are no citations of ours."""
    text = _FOREIGN_MARKER.sub(r"(\1)", _MARKED_LINK.sub(r"\1", candidate.text)).strip()
    return f"{text} [{candidate.number}]"
