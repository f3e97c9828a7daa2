"""Retrieval: scope, search, re-check, audit. The one way from a question to passages."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from core.audit import Audit
from core.db import Database
from core.errors import AccessUndecidedError, InvalidError
from core.settings import Settings
from embed.index.base import Filters, Hit
from embed.stack import VectorStack
from policies.scope import ReadScope, ScopeCache, readable
from policies.subject import Caller, resolve_subject
from retrieve.model import Passage, Question, Retrieved
from retrieve.narrowing import to_filters
from retrieve.recheck import public_ids, recheck

ROUNDS = 4
GROWTH = 4


@dataclass(slots=True)
class _Gathered:
    passages: tuple[Passage, ...] = ()
    refused: set[int] = field(default_factory=set)
    epoch: int = 0
    search_ms: float = 0.0


class Retriever:
    """Finds what a caller may read. One serves a process; thread-safe."""

    def __init__(self, settings: Settings, db: Database, stack: VectorStack, audit: Audit) -> None:
        self._settings, self._db, self._stack, self._audit = settings, db, stack, audit
        self._scopes = ScopeCache()

    def retrieve(self, caller: Caller, question: Question) -> Retrieved:
        """The best passages the caller may read, at most `top_k`.

        Raises:
            InvalidError: the question is empty or too long, or `top_k` is out of range.
            AccessUndecidedError: SQL did not answer, or the audit entry could not be written; nothing is shown.
            IndexUnavailableError: the index did not answer.
        """
        self._check(question)
        began = time.perf_counter()
        try:
            gathered = self._gather(caller, question)
            result = self._record(caller, question, gathered, began)
        except SQLAlchemyError as error:
            raise AccessUndecidedError("access could not be decided or recorded; try again later") from error
        return result

    def _check(self, question: Question) -> None:
        if not question.text.strip():
            raise InvalidError("query is empty; ask something", errors=[{"field": "query"}])
        if len(question.text) > self._settings.query_max_chars:
            raise InvalidError(
                f"query has {len(question.text)} characters; {self._settings.query_max_chars} are allowed",
                errors=[{"field": "query"}],
            )
        if not 1 <= question.top_k <= self._settings.top_k_max:
            raise InvalidError(
                f"top_k is {question.top_k}; it may be 1 to {self._settings.top_k_max}", errors=[{"field": "top_k"}]
            )

    def _gather(self, caller: Caller, question: Question) -> _Gathered:
        """Searches and re-checks until `top_k` passages passed, nothing more is found, or the rounds are spent."""
        scope, filters = self._scope(caller, question)
        gathered = _Gathered(epoch=scope.epoch)
        limit = question.top_k + 10
        for _ in range(ROUNDS):
            hits = self._search(question, scope, filters, limit, gathered)
            stale = self._recheck(caller, question, hits, gathered)
            full = len(gathered.passages) >= question.top_k
            if full or (len(hits) < limit and not stale):
                break
            if stale or gathered.refused:
                scope, filters = self._scope(caller, question)
            limit = min(limit * GROWTH, 1000)
        return gathered

    def _scope(self, caller: Caller, question: Question) -> tuple[ReadScope, Filters]:
        with self._db.read() as session:
            subject = resolve_subject(session, caller)
            scope = readable(session, subject, self._scopes)
            return scope, to_filters(session, caller.tenant, question.narrowing)

    def _search(
        self, question: Question, scope: ReadScope, filters: Filters, limit: int, gathered: _Gathered
    ) -> list[Hit]:
        if scope.empty:
            return []
        began = time.perf_counter()
        hits = self._stack.search(question.text, scope, limit=limit, filters=filters)
        gathered.search_ms += (time.perf_counter() - began) * 1000
        return hits

    def _recheck(self, caller: Caller, question: Question, hits: list[Hit], gathered: _Gathered) -> int:
        with self._db.read() as session:
            checked = recheck(session, caller, hits)
        gathered.passages = checked.passages[: question.top_k]
        gathered.refused.update(checked.refused)
        gathered.epoch = checked.epoch
        return checked.stale

    def _record(self, caller: Caller, question: Question, gathered: _Gathered, began: float) -> Retrieved:
        """Writes the audit entry; without it nothing is shown."""
        with self._db.write() as session:
            dropped = public_ids(session, caller.tenant, sorted(gathered.refused))
            self._audit.append(
                session,
                caller.tenant,
                "query",
                f"user:{caller.user}",
                {
                    "app": caller.app,
                    "epoch": gathered.epoch,
                    "top_k": question.top_k,
                    "documents": sorted({passage.document for passage in gathered.passages}),
                    "dropped": list(dropped),
                },
            )
        return Retrieved(
            passages=gathered.passages,
            dropped=dropped,
            epoch=gathered.epoch,
            took_ms=(time.perf_counter() - began) * 1000,
            search_ms=gathered.search_ms,
        )
