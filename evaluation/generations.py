"""Two indexes of one installation on questions about its own documents: the one in use, and one built beside it."""

from __future__ import annotations

from sqlalchemy import select

from core.audit import Audit
from core.db import Database
from core.settings import Settings
from core.tables import Document, Source
from embed.stack import VectorStack
from evaluation.comparing import Comparison
from evaluation.datasets import Dataset, DatasetError
from evaluation.metrics import score
from evaluation.results import Outcome
from policies.subject import Caller
from retrieve.model import Question, Shape
from retrieve.service import Retriever

DEPTH = 100
"""Documents ranked for each question, where `top_k_max` allows as many."""


class GenerationComparer:
    """Asks as one person, the whole way that a reader's question goes: what they may not read counts as not found."""

    def __init__(self, settings: Settings, db: Database, stack: VectorStack, audit: Audit, caller: Caller) -> None:
        self._settings, self._db, self._stack, self._audit, self._caller = settings, db, stack, audit, caller

    def compare(self, dataset: Dataset, old: int, new: int) -> Comparison:
        """How generation `new` finds the documents that are judged, beside `old`.

        Raises:
            DatasetError: a judged document is not in this installation.
        """
        names = self._names(dataset)
        first, second = (self._outcome(dataset, names, number) for number in (old, new))
        return Comparison(first, second, second.against(first))

    def _names(self, dataset: Dataset) -> dict[str, str]:
        """`SOURCE/ID` of each judged document, by its public id."""
        statement = (
            select(Document.public_id, Source.key, Document.external_id)
            .join(Source, Source.id == Document.source_id)
            .where(Document.tenant_id == self._caller.tenant, Document.version_id.is_not(None))
        )
        judged = {one for grades in dataset.qrels.values() for one in grades}
        with self._db.read(self._caller.tenant) as session:
            found = {public: f"{source}/{own}" for public, source, own in session.execute(statement)}
        names = {public: name for public, name in found.items() if name in judged}
        if absent := sorted(judged - set(names.values())):
            raise DatasetError(f"document {absent[0]!r} is judged and not in this installation (ids are SOURCE/ID)")
        return names

    def _outcome(self, dataset: Dataset, names: dict[str, str], number: int) -> Outcome:
        stack = self._stack.pinned(number)
        retriever = Retriever(self._settings, self._db, stack, self._audit)
        ranked = {query: self._ranked(retriever, text, names) for query, text in dataset.queries.items()}
        scores = score(dataset.qrels, ranked)
        return Outcome(stack.generation().model, dataset.name, about={"generation": number}, scores=scores)

    def _ranked(self, retriever: Retriever, text: str, names: dict[str, str]) -> list[str]:
        """Documents best first; one that no judgement names keeps its place."""
        depth = min(DEPTH, self._settings.top_k_max)
        asked = Question(text[: self._settings.query_max_chars], depth, shape=Shape(per_document=1))
        passages = retriever.retrieve(self._caller, asked).passages
        return list(dict.fromkeys(names.get(one, one) for passage in passages for one in passage.documents))
