"""Page-level retrieval from company filings: whether a passage of an answering page is among the first found.

The filings are in `AMBIT_BENCH_DATA` (else `../shared/data` beside the repository) in `filings/`; the questions, each
with the pages that answer it, were written by reading them: `filings_questions.jsonl`, whose failures were all read,
and `filings_conversations.jsonl`, with a half held out.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from bench.labelled import SYSTEMS, alone, default, figures, halves, questions
from core.settings import Settings
from core.telemetry import configure_logging
from evaluation.corpus import READERS
from evaluation.installation import Evaluated, holding
from ingest.connectors.folder import FolderConfig, FolderConnector
from ingest.model import ConnectorContext
from policies.model import access_spec

QUESTIONS = Path(__file__).with_name("filings_questions.jsonl")
CONVERSATIONS = Path(__file__).with_name("filings_conversations.jsonl")
ROOT = Path(__file__).parents[1]


def run() -> dict[str, Any]:
    """For the default and each leg alone the share of questions answered by the first k; the same for follow-ups."""
    settings = Settings(log_level="error")
    configure_logging(settings)
    asked, conversations = questions(QUESTIONS), questions(CONVERSATIONS)
    single = [one for one in asked if not one.history]
    leaning = [one for one in asked if one.history]
    with ingested(settings) as evaluated:
        found = {name: figures([one.place(find(evaluated, one)) for one in single]) for name, find in SYSTEMS.items()}
        found["follow_ups"] = figures([one.place(default(evaluated, one)) for one in leaning])
        found["follow_ups_without_history"] = figures([one.place(alone(evaluated, one)) for one in leaning])
        return {
            "chunks": evaluated.chunks,
            **found,
            "conversations": halves(conversations, partial(default, evaluated)),
            "conversations_without_history": halves(conversations, partial(alone, evaluated)),
        }


def ingested(settings: Settings) -> AbstractContextManager[Evaluated]:
    """An installation that holds the filings."""
    base = Path(os.environ.get("AMBIT_BENCH_DATA", ROOT.parent / "shared" / "data"))
    return folder(base, "filings", settings)


def folder(base: Path, path: str, settings: Settings) -> AbstractContextManager[Evaluated]:
    """An installation that holds the files of a folder below `base`."""
    return holding(FolderConnector(FolderConfig(path=path), ConnectorContext(base, access_spec([READERS]))), settings)
