"""Cross-encoders: a question and a passage read together, for a score. Loaded at first use alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import SettingError
from embed.encoders.batches import BATCH
from embed.encoders.device import Device, check_device
from embed.encoders.tokenizer import well_formed
from embed.encoders.turns import TurnLock

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_MOST_TOKENS = 512


class CrossScorer:
    """A sentence-transformers cross-encoder by name or folder. Thread-safe; one call at a time runs.

    Args:
        model: a folder, or a name in the local Hugging Face cache; nothing is downloaded.
    """

    def __init__(self, model: str, *, device: Device = "cpu") -> None:
        self.name = model
        self._device = device
        self._warming = threading.Lock()
        self._turn = TurnLock()
        self._model: CrossEncoder | None = None

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the question; higher is better, and only the order means anything.

        Raises:
            SettingError: the model is not on this machine, or does not give one finite score each.
        """
        model = self._loaded()
        pairs = [(well_formed(question), well_formed(text)) for text in texts]
        with self._turn:
            found = model.predict(pairs, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True)
        values = np.asarray(found, np.float64)
        if values.shape != (len(texts),) or not np.isfinite(values).all():
            raise SettingError(f"reranker {self.name!r} does not give one finite score for each passage")
        return [float(one) for one in values]

    def _loaded(self) -> CrossEncoder:
        with self._warming:
            if self._model is None:
                self._model = _load(self.name, self._device)
            return self._model


def _load(name: str, device: Device) -> CrossEncoder:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging as transformers_logging

    check_device(device)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = Path(name).expanduser()
    place = str(folder.resolve()) if folder.is_dir() else name
    try:
        model: CrossEncoder = CrossEncoder(place, device=device, local_files_only=True, max_length=_MOST_TOKENS)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise SettingError(
            f"reranker {name!r} cannot be loaded ({type(error).__name__}); nothing is downloaded"
        ) from None
    return model
