"""Page-level retrieval from company filings: whether a passage of an answering page is among the first found.

The filings are in `AMBIT_BENCH_DATA` (else `../shared/data` beside the repository) in `filings/`; the questions, each
with the pages that answer it, were written by reading them and are in `filings_questions.jsonl`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from core.settings import Settings
from core.tables import VersionChunk
from core.telemetry import configure_logging
from embed.index.base import SearchRequest
from embed.sparse import SparseEncoder
from evaluation.corpus import READERS
from evaluation.installation import Evaluated, holding
from ingest.connectors.folder import FolderConfig, FolderConnector
from ingest.model import ConnectorContext
from policies.model import access_spec
from policies.scope import readable
from policies.subject import resolve_subject
from retrieve.model import Question

QUESTIONS = Path(__file__).with_name("filings_questions.jsonl")
ROOT = Path(__file__).parents[1]
DEPTH = 10
HITS = (1, 3, 5, 10)

Where = tuple[str, int | None]
"""File and page of a passage."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the files that answer it (copies of one another), and the pages that do, each by itself.

    Attributes:
        history: what was asked before, which a follow-up question leans on.
    """

    question: str
    history: tuple[str, ...]
    files: frozenset[str]
    pages: frozenset[int]

    def place(self, found: Sequence[Where]) -> int | None:
        """Where the first passage that answers stands, from 1; None: none does."""
        places = (place for place, (file, page) in enumerate(found, 1) if file in self.files and page in self.pages)
        return next(places, None)


def run() -> dict[str, Any]:
    """For the default and each leg alone: the share of questions that one of the first k passages answers, and the
    mean reciprocal rank of the first that does.
    """
    settings = Settings(log_level="error")
    configure_logging(settings)
    alone = [one for one in questions() if not one.history]
    leaning = [one for one in questions() if one.history]
    with ingested(settings) as evaluated:
        places = {name: [one.place(find(evaluated, one)) for one in alone] for name, find in SYSTEMS.items()}
        places["follow_ups"] = [one.place(_default(evaluated, one)) for one in leaning]
        places["follow_ups_without_history"] = [
            one.place(_default(evaluated, replace(one, history=()))) for one in leaning
        ]
        chunks = evaluated.chunks
    counts = {"questions": len(alone), "follow_up_questions": len(leaning), "chunks": chunks}
    return {**counts, **{name: _figures(one) for name, one in places.items()}}


def ingested(settings: Settings) -> AbstractContextManager[Evaluated]:
    """An installation that holds the filings."""
    base = Path(os.environ.get("AMBIT_BENCH_DATA", ROOT.parent / "shared" / "data"))
    return holding(
        FolderConnector(FolderConfig(path="filings"), ConnectorContext(base, access_spec([READERS]))), settings
    )


def questions() -> list[Asked]:
    """All questions."""
    rows = map(json.loads, QUESTIONS.read_text(encoding="utf-8").splitlines())
    return [
        Asked(one["question"], tuple(one.get("history", ())), frozenset(one["files"]), frozenset(one["pages"]))
        for one in rows
    ]


def _default(evaluated: Evaluated, asked: Asked) -> list[Where]:
    question = Question(asked.question, DEPTH, history=asked.history)
    found = evaluated.retriever.retrieve(evaluated.caller, question).passages
    return [(evaluated.names[one.document], one.page) for one in found]


def _dense(evaluated: Evaluated, asked: Asked) -> list[Where]:
    return _search(evaluated, SearchRequest(evaluated.stack.encoder.encode_query(asked.question), None, DEPTH))


def _bm25(evaluated: Evaluated, asked: Asked) -> list[Where]:
    terms = SparseEncoder(evaluated.stack.generation().sparse).encode_query(asked.question)
    return _search(evaluated, SearchRequest(None, terms, DEPTH))


def _search(evaluated: Evaluated, request: SearchRequest) -> list[Where]:
    with evaluated.db.read() as session:
        scope = readable(session, resolve_subject(session, evaluated.caller))
        hits = evaluated.stack.index.search(evaluated.stack.generation().collection, request, scope)
        chosen = VersionChunk.chunk_id.in_([hit.chunk for hit in hits])
        pages = dict(session.execute(select(VersionChunk.chunk_id, VersionChunk.page).where(chosen)).tuples().all())
    return [(evaluated.names[hit.document], pages[hit.chunk]) for hit in hits]


def _figures(places: Sequence[int | None]) -> dict[str, float]:
    hits = {f"hit{k}": _mean([place is not None and place <= k for place in places]) for k in HITS}
    return {**hits, "mrr": _mean([1 / place if place else 0.0 for place in places])}


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


SYSTEMS: Mapping[str, Callable[[Evaluated, Asked], list[Where]]] = {"default": _default, "dense": _dense, "bm25": _bm25}
