"""How long one side takes to find ten passages for a question, asked by one client."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.texts import questions

_WARM, _ASKED = 10, 100


def asked(find: Callable[[str], Sequence[Any]]) -> float:
    """The median in milliseconds once warm."""
    took = []
    for text in questions(_WARM + _ASKED):
        began = time.perf_counter()
        if not find(text):
            raise RuntimeError("nothing was found")
        took.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(took[_WARM:]), 2)
