"""What the processes of an installation with workers do: one works at stages, one answers over HTTP."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.settings import Settings
from embed.stack import VectorStack
from tests.factories.encoders import WordEncoder
from tests.factories.fault_child import served
from tests.factories.installation import Installation
from tests.factories.shared_index import SharedIndex
from workers.run import run_worker


@dataclass(frozen=True)
class Duty:
    """What one worker does.

    Attributes:
        delay_s: seconds that encoding one text takes.
        index: where the process is that holds the index; None: the worker itself holds it.
    """

    settings: dict[str, Any]
    stages: Sequence[str] = ()
    beat: bool = False
    pool: str = "solo"
    delay_s: float = 0.01
    index: str | None = None


def work(duty: Duty) -> None:
    """Works until it is told to end."""
    first_init = VectorStack.__init__

    def init(stack: VectorStack, *arguments: Any) -> None:
        first_init(stack, *arguments)
        stack.__dict__["_encoder"] = WordEncoder(duty.delay_s)
        if duty.index is not None:
            stack.__dict__["_index"] = SharedIndex(duty.index)

    VectorStack.__init__ = init  # type: ignore[method-assign]
    run_worker(Settings(_env_file=None, **duty.settings), stages=duty.stages, beat=duty.beat, pool=duty.pool)


def answer(data_dir: str, settings: dict[str, Any], index: str, port: int) -> None:
    """Answers over HTTP until it is killed."""
    place = Installation(Path(data_dir), **settings)
    place.runtime.stack.__dict__["_index"] = SharedIndex(index)
    place.runtime.warm_up()
    with served(place, port):
        signal.pause()
