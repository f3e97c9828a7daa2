"""Retrieval from a company's handbook: near-alike sections by country, exceptions in tables and lists, acronyms.

The handbook (`handbook/`) and its questions (`handbook_questions.jsonl`, each with words of the passages that answer
it) were written for this. Failures of half the questions were read; the other half is held out.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from bench.filings import folder
from bench.labelled import SYSTEMS, alone, default, halves, questions
from core.settings import Settings
from core.telemetry import configure_logging

QUESTIONS = Path(__file__).with_name("handbook_questions.jsonl")


def run() -> dict[str, Any]:
    """For the default and each leg alone the share of questions answered by the first k; the same for follow-ups."""
    settings = Settings(log_level="error")
    configure_logging(settings)
    asked = questions(QUESTIONS)
    single = [one for one in asked if not one.history]
    leaning = [one for one in asked if one.history]
    with folder(Path(__file__).parent, "handbook", settings) as evaluated:
        return {
            "chunks": evaluated.chunks,
            **{name: halves(single, partial(find, evaluated)) for name, find in SYSTEMS.items()},
            "conversations": halves(leaning, partial(default, evaluated)),
            "conversations_without_history": halves(leaning, partial(alone, evaluated)),
        }
