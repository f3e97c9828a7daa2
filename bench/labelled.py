"""Labelled questions of passages: which files, pages or words answer, and how often the first found do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select

from core.tables import Chunk, VersionChunk
from embed.index.base import SearchRequest
from embed.sparse import SparseEncoder
from evaluation.installation import Evaluated
from policies.scope import readable
from policies.subject import resolve_subject
from retrieve.model import Question

DEPTH = 10
HITS = (1, 3, 5, 10)


@dataclass(frozen=True, slots=True)
class Found:
    """A passage."""

    file: str
    page: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the files that answer it (copies of one another), and what marks the passages that do.

    Attributes:
        history: what was asked before, which a follow-up question leans on.
        pages: those that answer, each by itself; empty: the words decide.
        evidence: words of which an answering passage holds one, however they are spaced; empty: the page decides.
        held_out: not looked at when retrieval was changed.
    """

    question: str
    history: tuple[str, ...]
    files: frozenset[str]
    pages: frozenset[int]
    evidence: tuple[str, ...]
    held_out: bool

    def place(self, found: Sequence[Found]) -> int | None:
        """Where the first passage that answers stands, from 1; None: none does."""
        return next((place for place, one in enumerate(found, 1) if self._answers(one)), None)

    def _answers(self, found: Found) -> bool:
        if found.file not in self.files or (self.pages and found.page not in self.pages):
            return False
        text = _spaced(found.text)
        return not self.evidence or any(_spaced(one) in text for one in self.evidence)


def _spaced(text: str) -> str:
    return " ".join(text.casefold().split())


def questions(path: Path) -> list[Asked]:
    """All questions of a file, one JSON object a line."""
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [
        Asked(
            question=one["question"],
            history=tuple(one.get("history", ())),
            files=frozenset(one["files"]),
            pages=frozenset(one.get("pages", ())),
            evidence=tuple(one.get("evidence", ())),
            held_out=one.get("held_out", False),
        )
        for one in rows
    ]


def halves(asked: Sequence[Asked], find: Callable[[Asked], list[Found]]) -> dict[str, dict[str, float]]:
    """Figures of the half whose failures were read, and of the one held out."""
    return {
        name: figures([one.place(find(one)) for one in asked if one.held_out is held])
        for name, held in (("read", False), ("held_out", True))
    }


def figures(places: Sequence[int | None]) -> dict[str, float]:
    """The share of questions that one of the first k passages answers, and the mean reciprocal rank of the first."""
    hits = {f"hit{k}": _mean([place is not None and place <= k for place in places]) for k in HITS}
    return {**hits, "mrr": _mean([1 / place if place else 0.0 for place in places]), "questions": len(places)}


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def default(evaluated: Evaluated, asked: Asked) -> list[Found]:
    """What the API finds."""
    question = Question(asked.question, DEPTH, history=asked.history)
    found = evaluated.retriever.retrieve(evaluated.caller, question).passages
    return [Found(evaluated.names[one.document], one.page, one.text) for one in found]


def alone(evaluated: Evaluated, asked: Asked) -> list[Found]:
    """What the API finds without knowing what was asked before."""
    return default(evaluated, replace(asked, history=()))


def dense(evaluated: Evaluated, asked: Asked) -> list[Found]:
    """What the vectors alone find."""
    return _search(evaluated, SearchRequest(evaluated.stack.encoder.encode_query(asked.question), None, DEPTH))


def bm25(evaluated: Evaluated, asked: Asked) -> list[Found]:
    """What the terms alone find."""
    terms = SparseEncoder(evaluated.stack.generation().sparse).encode_query(asked.question)
    return _search(evaluated, SearchRequest(None, terms, DEPTH))


def _search(evaluated: Evaluated, request: SearchRequest) -> list[Found]:
    with evaluated.db.read() as session:
        scope = readable(session, resolve_subject(session, evaluated.caller))
        hits = evaluated.stack.index.search(evaluated.stack.generation().collection, request, scope)
        statement = (
            select(VersionChunk.chunk_id, VersionChunk.page, Chunk.text)
            .join(Chunk, Chunk.id == VersionChunk.chunk_id)
            .where(VersionChunk.chunk_id.in_([hit.chunk for hit in hits]))
        )
        known = {id_: (page, text) for id_, page, text in session.execute(statement)}
    return [Found(evaluated.names[hit.document], *known[hit.chunk]) for hit in hits]


SYSTEMS: Mapping[str, Callable[[Evaluated, Asked], list[Found]]] = {"default": default, "dense": dense, "bm25": bm25}
