"""Which of some texts are nearly alike: they share most of their runs of three words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

ALIKE = 0.8
"""Share of the runs of two texts that both have, from which they count as nearly alike."""
FEWEST_WORDS = 20
"""Shorter texts are compared whole: a few runs say little."""
_RUN = 3
_WORD = re.compile(r"\w+")


def nearly_alike(texts: Sequence[str]) -> list[int]:
    """For each text the place of the first one that it is nearly alike, its own where there is none.

    Only texts that stand for others are compared with, so that a row of small changes joins no two ends.
    """
    having: dict[str, list[int]] = {}
    sizes: dict[int, int] = {}
    found: list[int] = []
    for place, text in enumerate(texts):
        runs = _runs(text)
        first = _first(runs, having, sizes)
        if first is None:
            sizes[place] = len(runs)
            for run in runs:
                having.setdefault(run, []).append(place)
        found.append(place if first is None else first)
    return found


def _first(runs: frozenset[str], having: dict[str, list[int]], sizes: dict[int, int]) -> int | None:
    shared = Counter(place for run in runs for place in having.get(run, ()))
    alike = [place for place, both in shared.items() if both >= ALIKE * (len(runs) + sizes[place] - both)]
    return min(alike, default=None)


def _runs(text: str) -> frozenset[str]:
    words = _WORD.findall(text.casefold())
    if len(words) < FEWEST_WORDS:
        return frozenset([" ".join(words)])
    return frozenset(" ".join(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1))
