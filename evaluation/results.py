"""The outcome of an evaluation: what was measured on what, kept as JSON so that a later run can be held against it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import InvalidError
from evaluation.metrics import Difference, Mean, Scores, compare, summarise

VERSION = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One configuration on one data set.

    Attributes:
        name: what is told apart in reports, as in `default`.
        about: what decided the figures: encoder, chunk size, and the size of the data set.
        scores: each metric of each query.
        took_ms: median and 95th percentile of a query.
    """

    name: str
    dataset: str
    about: Mapping[str, Any]
    scores: Scores
    took_ms: tuple[float, float] = (0.0, 0.0)

    @property
    def means(self) -> dict[str, Mean]:
        """Mean and interval of each metric."""
        return summarise(self.scores)

    def against(self, baseline: Outcome) -> dict[str, Difference]:
        """How much better this is than `baseline`, metric by metric.

        Raises:
            InvalidError: the two are of different data sets.
        """
        if baseline.dataset != self.dataset:
            raise InvalidError(f"the baseline is of data set {baseline.dataset!r}, this of {self.dataset!r}")
        return compare(self.scores, baseline.scores)

    def save(self, path: Path) -> None:
        """Writes it for `load_outcome`."""
        body = {"version": VERSION, **asdict(self)}
        path.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_outcome(path: Path) -> Outcome:
    """What `Outcome.save` wrote.

    Raises:
        InvalidError: the file is missing or of another kind or version.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        version = body.pop("version")
        median, high = body.pop("took_ms")
        if version != VERSION:
            raise InvalidError(f"{path} is of version {version}; this Ambit reads {VERSION}")
        return Outcome(**body, took_ms=(median, high))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise InvalidError(f"{path} holds no outcome of an evaluation; make one with --save") from None
