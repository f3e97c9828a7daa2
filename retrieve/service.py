"""Retrieval: scope, search, re-check, choice, audit. The one way from a question to passages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.audit import Audit
from core.clock import utc_now
from core.db import Database
from core.errors import AccessUndecidedError
from core.settings import Settings
from embed.index.base import Filters, Hit, IndexUnavailableError
from embed.stack import VectorStack
from policies.break_glass import mark
from policies.rules_store import count
from policies.scope import ReadScope, ScopeCache, readable_by
from policies.subject import Caller
from retrieve.checking import checked, clean
from retrieve.helpers import Help
from retrieve.model import Passage, Question, Retrieved
from retrieve.narrowing import to_filters
from retrieve.neighbours import widen
from retrieve.recheck import public_ids, recheck, still_allowed
from retrieve.recording import QueryLog
from retrieve.reranking import Reranker, reordered
from retrieve.rewriting_model import Rewriter
from retrieve.shaping import Candidate, settled, shape_up, wants_more

ROUNDS = 6
"""Searches for one question at most; `MOST` hits take four."""
GROWTH = 4
MOST = 1000
SPARE = 10
"""Hits looked at beyond those wanted, for what the re-check drops and copies that collapse."""


@dataclass(slots=True)
class _Gathered:
    passages: tuple[Passage, ...] = ()
    refused: set[int] = field(default_factory=set)
    epoch: int = 0
    search_ms: float = 0.0
    reported: Mapping[int, int] = field(default_factory=dict)
    would_open: Mapping[int, int] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    help: Help = field(default_factory=Help)
    marks: dict[str, list[str]] = field(default_factory=dict)


class Retriever:
    """Finds what a caller may read. One serves a process; thread-safe."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        stack: VectorStack,
        audit: Audit,
        *,
        reranker: Reranker | None = None,
        rewriter: Rewriter | None = None,
    ) -> None:
        self._settings, self._db, self._stack = settings, db, stack
        self._log = QueryLog(db, audit)
        self._scopes = ScopeCache()
        self._reranker, self._rewriter = reranker, rewriter

    def retrieve(self, caller: Caller, question: Question) -> Retrieved:
        """The best passages the caller may read, at most `top_k`.

        Raises:
            InvalidError: the question is empty or too long, a number is out of range, or a filter names no field.
            AccessUndecidedError: SQL did not answer, or the audit entry could not be written; nothing is shown.
            IndexUnavailableError: the index did not answer, or not with scores.
        """
        asked = checked(self._settings, question)
        began = time.perf_counter()
        try:
            helped = Help()
            asked = self._by_itself(caller, question, asked, helped)
            gathered = self._gather(caller, self._deeper(asked))
            gathered.help = helped
            self._rerank(caller, asked, gathered)
            return self._record(caller, asked, gathered, began)
        except SQLAlchemyError as error:
            raise AccessUndecidedError("access could not be decided or recorded; try again later") from error

    def _by_itself(self, caller: Caller, given: Question, asked: Question, helped: Help) -> Question:
        """The question as the model that rewrites has it; as the rules have it where there is none or it fails."""
        if self._rewriter is None or not given.history:
            return asked
        history = [clean(one) for one in given.history]
        text = self._rewriter.rewrite(caller, clean(given.text), history, helped)
        return asked if text is None else replace(asked, text=clean(text)[: self._settings.query_max_chars])

    def _deeper(self, question: Question) -> Question:
        """With as many passages as are reranked; the text around them is read for those that are shown alone."""
        if self._reranker is None:
            return question
        wanted = max(question.top_k, self._settings.rerank_candidates)
        return replace(question, top_k=wanted, shape=replace(question.shape, neighbour_tokens=0))

    def _rerank(self, caller: Caller, question: Question, gathered: _Gathered) -> None:
        """Chooses anew from the reranker's order, in a snapshot of its own."""
        if self._reranker is None:
            return
        most, found = self._settings.rerank_candidates, gathered.candidates
        ordered = reordered(self._reranker, caller, question.text, found, most=most, help_=gathered.help)
        with self._db.read(caller.tenant) as session:
            kept, refused = still_allowed(session, caller, ordered)
            chosen = shape_up(kept, settled(question.shape), question.top_k, at=utc_now())
            if question.shape.neighbour_tokens:
                chosen = widen(session, caller.tenant, chosen, question.shape.neighbour_tokens)
        gathered.passages = tuple(one.passage for one in chosen)
        gathered.refused.update(refused)

    def _gather(self, caller: Caller, question: Question) -> _Gathered:
        """Searches and re-checks until `top_k` passages passed or nothing more is found, or the rounds are spent.

        A search that began before a document was swapped finds its old chunks, and may miss the new ones: it is made
        again, so that the document shows as it was or as it is. What stays behind of old versions is found each time,
        and asks for no third search.
        """
        scope, filters = self._scope(caller, question)
        gathered = _Gathered(epoch=scope.epoch, would_open=dict(scope.reported))
        limit = min(question.top_k * (GROWTH if wants_more(question.shape) else 1) + SPARE, MOST)
        known = frozenset[int]()
        for _ in range(ROUNDS):
            hits = self._search(question, scope, filters, limit, gathered)
            stale = self._recheck(caller, question, hits, gathered)
            swapped, known = bool(stale - known), known | stale
            full = len(gathered.passages) >= question.top_k
            if not swapped and (full or len(hits) < limit):
                break
            if swapped or gathered.refused:
                scope, filters = self._scope(caller, question)
            elif limit == MOST:
                break
            if not full:
                limit = min(limit * GROWTH, MOST)
        return gathered

    def _scope(self, caller: Caller, question: Question) -> tuple[ReadScope, Filters]:
        with self._db.read(caller.tenant) as session:
            scope = readable_by(session, caller, self._scopes)
            return scope, to_filters(session, caller.tenant, question.narrowing)

    def _search(
        self, question: Question, scope: ReadScope, filters: Filters, limit: int, gathered: _Gathered
    ) -> list[Hit]:
        if scope.empty:
            return []
        began = time.perf_counter()
        hits = self._stack.search(question.text, scope, limit=limit, filters=filters)
        gathered.search_ms += (time.perf_counter() - began) * 1000
        if not np.isfinite([hit.score for hit in hits]).all():
            raise IndexUnavailableError("the index scored hits with values that are not finite; check the encoder")
        return hits

    def _recheck(self, caller: Caller, question: Question, hits: list[Hit], gathered: _Gathered) -> frozenset[int]:
        """Decides the hits, and reads what is shown of those that passed, in one snapshot; returns the stale chunks."""
        with self._db.read(caller.tenant) as session:
            found = recheck(session, caller, hits)
            chosen = shape_up(found.candidates, question.shape, question.top_k, at=utc_now())
            if question.shape.neighbour_tokens:
                chosen = widen(session, caller.tenant, chosen, question.shape.neighbour_tokens)
            gathered.marks |= mark(session, caller.tenant, caller.user)
        gathered.candidates = chosen
        gathered.passages = tuple(one.passage for one in chosen)
        gathered.refused.update(found.refused)
        gathered.epoch = found.epoch
        gathered.reported = found.reported
        return found.stale

    def _record(self, caller: Caller, question: Question, gathered: _Gathered, began: float) -> Retrieved:
        """Writes the audit entry; without it nothing is shown."""
        refused = sorted(gathered.refused)
        helpers = list(gathered.help.used)

        def body(session: Session) -> dict[str, Any]:
            count(session, caller.tenant, gathered.reported, gathered.would_open)
            return {
                "app": caller.app,
                "epoch": gathered.epoch,
                "top_k": question.top_k,
                "documents": sorted({one for passage in gathered.passages for one in passage.documents}),
                "dropped": list(public_ids(session, caller.tenant, refused)),
                **({"helpers": helpers} if helpers else {}),
                **gathered.marks,
            }

        written = self._log.append(caller.tenant, f"user:{caller.user}", body)
        return Retrieved(
            passages=gathered.passages,
            dropped=tuple(written["dropped"]),
            epoch=gathered.epoch,
            took_ms=(time.perf_counter() - began) * 1000,
            search_ms=gathered.search_ms,
            notes=tuple(gathered.help.notes),
        )
