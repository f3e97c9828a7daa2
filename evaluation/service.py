"""Evaluating retrieval: a data set in, outcomes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from core.db import Database
from core.errors import InvalidError
from core.settings import Settings
from embed.stack import VectorStack
from evaluation.datasets import Dataset
from evaluation.installation import Evaluated, Progress, installed
from evaluation.metrics import score
from evaluation.results import Outcome
from evaluation.systems import SYSTEMS, rank


def evaluate(
    dataset: Dataset,
    settings: Settings,
    systems: Sequence[str] = ("default",),
    *,
    make_stack: Callable[[Settings, Database], VectorStack] = VectorStack,
    progress: Progress = lambda done, of: None,
) -> list[Outcome]:
    """Ingests the corpus once and runs every query through each of `systems`.

    Raises:
        InvalidError: there is no such system.
        CorpusError: the corpus could not be ingested.
    """
    unknown = [one for one in systems if one not in SYSTEMS]
    if unknown:
        raise InvalidError(f"there is no system {unknown[0]!r} to evaluate; there are {', '.join(SYSTEMS)}")
    with installed(dataset, settings, make_stack=make_stack, progress=progress) as evaluated:
        return [_outcome(evaluated, dataset, one) for one in systems]


def _outcome(evaluated: Evaluated, dataset: Dataset, system: str) -> Outcome:
    ranked = rank(evaluated, dataset, system)
    median, high = np.percentile(list(ranked.took_ms.values()), [50, 95])
    settings = evaluated.settings
    return Outcome(
        name=system,
        dataset=dataset.name,
        about={
            "encoder": evaluated.stack.encoder.tag,
            "chunk_tokens": settings.chunk_tokens,
            "search_candidates": settings.search_candidates,
            "documents": len(dataset.corpus),
            "chunks": evaluated.chunks,
            "queries": len(dataset.queries),
        },
        scores=score(dataset.qrels, ranked.documents),
        took_ms=(float(median), float(high)),
    )
