"""Whether another encoder finds worse: both are measured on one labelled data set, the whole way of a reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from core.db import Database
from core.errors import AmbitError
from core.settings import Settings
from embed.stack import VectorStack
from evaluation.datasets import Dataset
from evaluation.installation import Progress
from evaluation.metrics import Difference
from evaluation.results import Outcome
from evaluation.service import evaluate

DECIDING = "ndcg10"


class EncoderWorseError(AmbitError):
    """The encoder that is to be switched to finds worse than the one in use, by more than the margin."""

    code = "encoder_worse"
    status = 409
    title = "New encoder finds worse"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two encoders on one data set, and how much better the new one is, metric by metric."""

    old: Outcome
    new: Outcome
    differences: Mapping[str, Difference]

    def check(self, margin: float) -> None:
        """Whether the new one may be switched to.

        Args:
            margin: how much lower its mean nDCG@10 may be.

        Raises:
            EncoderWorseError: it is lower by more.
        """
        found = self.differences[DECIDING]
        if found.mean < -margin:
            raise EncoderWorseError(
                f"nDCG@10 of {self.new.name} on {self.new.dataset} is {-found.mean:.4f} below that of {self.old.name} "
                f"({found.low:+.4f} to {found.high:+.4f}, p = {found.p:.4f}), and {margin} is allowed: nothing was "
                "switched; choose another, or say --force"
            )


def compare_encoders(
    dataset: Dataset,
    settings: Settings,
    old: str,
    new: str,
    *,
    make_stack: Callable[[Settings, Database], VectorStack] = VectorStack,
    progress: Progress = lambda done, of: None,
) -> Comparison:
    """Measures both encoders, named as the setting `encoder` names one, under otherwise the same settings.

    Raises:
        CorpusError: the corpus could not be ingested with one of them.
        SettingError: one of them is not on this machine, or `ir-measures` is not installed.
    """
    first, second = (
        replace(evaluate(dataset, _with(settings, name), make_stack=make_stack, progress=progress)[0], name=name)
        for name in (old, new)
    )
    return Comparison(first, second, second.against(first))


def _with(settings: Settings, encoder: str) -> Settings:
    return settings.model_copy(update={"encoder": encoder})
