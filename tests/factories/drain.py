"""Runs every stage until nothing is left to do, in this thread."""

from __future__ import annotations

from ingest.pipeline import Pipeline
from ingest.stages import STAGES

_MOST_ROUNDS = 1000


def drain(pipeline: Pipeline) -> None:
    """Does all work that is due."""
    for _ in range(_MOST_ROUNDS):
        busy = [step(pipeline) for step in STAGES.values()]
        if not any(busy):
            return
    raise AssertionError("the pipeline never became idle")
