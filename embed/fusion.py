"""The fusion of both legs that the settings name."""

from __future__ import annotations

from core.errors import SettingError
from core.settings import Settings
from embed.index.base import Fusion


def fusion_of(settings: Settings) -> Fusion:
    """The fusion in force.

    Raises:
        SettingError: a weight that is not above 0, or weights that the method does not take.
    """
    chosen = Fusion(settings.fusion, settings.fusion_k, settings.fusion_weights)
    if not all(0 < weight <= _HEAVIEST for weight in chosen.weights):
        raise SettingError(f"fusion_weights is {list(chosen.weights)}; each is above 0 and at most {_HEAVIEST:.0f}")
    if chosen.method == "dbsf" and chosen.weights != Fusion().weights:
        raise SettingError("fusion_weights are given and fusion is dbsf, which has none; set fusion to rrf")
    return chosen


_HEAVIEST = 1000.0
