"""What is evaluated: retrieval as it answers readers, and each leg of it alone, to see what the other adds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from embed.index.base import Filters, SearchRequest
from embed.sparse import SparseEncoder
from evaluation.datasets import Dataset
from evaluation.installation import Evaluated
from policies.scope import readable
from policies.subject import resolve_subject
from retrieve.model import Question, Shape

DEPTH = 100
"""Documents ranked for each query: recall is measured at 100."""
_OVER = 4
"""Hits looked at for each document wanted, since several chunks of one document may be found."""

Rank = Callable[[Evaluated, str], list[str]]
"""The data set's ids of the documents found for a query, best first."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Documents found for each query, best first, and how long each search took in milliseconds."""

    documents: Mapping[str, list[str]]
    took_ms: Mapping[str, float] = field(default_factory=dict)


def rank(evaluated: Evaluated, dataset: Dataset, system: str = "default") -> Ranked:
    """Runs every query as the reader through one of `SYSTEMS`. A document stands where its best passage does."""
    found: dict[str, list[str]] = {}
    took: dict[str, float] = {}
    for query, text in dataset.queries.items():
        began = time.perf_counter()
        found[query] = SYSTEMS[system](evaluated, text)
        took[query] = (time.perf_counter() - began) * 1000
    return Ranked(found, took)


def _default(evaluated: Evaluated, text: str) -> list[str]:
    """Everything a caller of the API goes through, the re-check and the audit included.

    The first ten are what a search for ten gives, since how deep a search looks decides how its legs are fused; what
    follows is what a search for a hundred adds.
    """
    asked = Question(text[: evaluated.settings.query_max_chars], 10, shape=Shape(per_document=1))
    found = [*_retrieved(evaluated, asked), *_retrieved(evaluated, replace(asked, top_k=DEPTH))]
    return list(dict.fromkeys(found))[:DEPTH]


def _retrieved(evaluated: Evaluated, question: Question) -> list[str]:
    """Documents in order, those that say the same right after the passage that stands for them."""
    passages = evaluated.retriever.retrieve(evaluated.caller, question).passages
    return [evaluated.names[one] for passage in passages for one in passage.documents]


def _dense(evaluated: Evaluated, text: str) -> list[str]:
    return _search(evaluated, SearchRequest(evaluated.stack.encoder.encode_query(text), None, DEPTH * _OVER))


def _bm25(evaluated: Evaluated, text: str) -> list[str]:
    terms = SparseEncoder(evaluated.stack.generation().sparse).encode_query(text)
    return _search(evaluated, SearchRequest(None, terms, DEPTH * _OVER, filters=Filters()))


def _search(evaluated: Evaluated, request: SearchRequest) -> list[str]:
    with evaluated.db.read() as session:
        scope = readable(session, resolve_subject(session, evaluated.caller))
    hits = evaluated.stack.index.search(evaluated.stack.generation().collection, request, scope)
    return list(dict.fromkeys(evaluated.names[hit.document] for hit in hits))[:DEPTH]


SYSTEMS: Mapping[str, Rank] = {"default": _default, "dense": _dense, "bm25": _bm25}
