"""What encoders have in common whose model is not ours to open: what comes back is checked before it is used."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import AmbitError
from embed.encoders.base import Vectors
from embed.encoders.batches import unit
from embed.encoders.common import QUERIES, CommonEncoder
from embed.encoders.files import BUNDLED, find_model
from embed.encoders.spec import EncoderSpec
from embed.encoders.tokenizer import FastTokenizer, well_formed

_SAMPLE = "dimension"


class EncoderAnswerError(AmbitError):
    """An encoder gave something that is not one finite vector of the right length for each text. Nothing was searched
    or stored with it; `ambit doctor` tries the encoder.
    """

    code = "encoder_answer"
    status = 502
    title = "Encoder gave unusable vectors"


class RemoteEncoder(CommonEncoder):
    """Base of encoders whose tokenizer is not known: tokens are counted by another one, the bundled model's by default.

    Args:
        spec: with the options `query_prompt`, `passage_prompt`, `max_tokens` and `tokenizer`.
        max_tokens: where the options state none.
    """

    def __init__(self, spec: EncoderSpec, *, max_tokens: int, lanes: int = 1, most: int = QUERIES) -> None:
        super().__init__(lanes=lanes, most=most)
        self._spec = spec
        self._max_tokens = spec.number("max_tokens", max_tokens)
        self._known: int | None = None
        self._learning = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name."""
        return self._spec.model

    @property
    def dimension(self) -> int:
        """Length of a vector; the model is asked once where nothing states it."""
        with self._learning:
            if self._known is None:
                self._known = int(_array(self._ask([_SAMPLE]), 1).shape[1])
            return self._known

    @property
    def max_tokens(self) -> int:
        """Tokens beyond which text is cut before it is sent, as the tokenizer counts them."""
        return self._max_tokens

    @property
    def query_prompt(self) -> str:
        """What stands before every query."""
        return self._spec.options.get("query_prompt", "")

    @property
    def passage_prompt(self) -> str:
        """What stands before every passage."""
        return self._spec.options.get("passage_prompt", "")

    @cached_property
    def tokenizer(self) -> FastTokenizer:
        """A `tokenizer.json`, or that of a model, by the option `tokenizer`; else the bundled model's."""
        stated = Path(self._spec.options.get("tokenizer", BUNDLED)).expanduser()
        return FastTokenizer(stated if stated.is_file() else find_model(str(stated)).tokenizer)

    def warm_up(self) -> None:
        """Finds out the length of its vectors, which shows that it answers."""
        _ = self.dimension

    def _encode(self, texts: Sequence[str]) -> Vectors:
        return self._checked(self._ask([self._fitting(text) for text in texts]), len(texts))

    def _checked(self, found: Any, count: int) -> Vectors:
        """Unit vectors of what a model gave.

        Raises:
            EncoderAnswerError: it gave too few, of another length, or numbers that are not finite.
        """
        vectors = _array(found, count)
        if vectors.shape[1] != self.dimension:
            raise EncoderAnswerError(f"{self.name} gave vectors of {vectors.shape[1]} numbers, not {self.dimension}")
        return unit(vectors)

    def _fitting(self, text: str) -> str:
        """The text without what lies beyond the limit, and never empty, which many models refuse."""
        clean = well_formed(text).replace("\x00", " ")
        if len(clean) > self._max_tokens:  # a token has at least one character
            offsets = self.tokenizer.offsets(clean)
            clean = clean[: offsets[self._max_tokens - 1][1]] if len(offsets) > self._max_tokens else clean
        return clean if clean.strip() else "."

    @abstractmethod
    def _ask(self, texts: Sequence[str]) -> Any:
        """What the model gives for at least one text: rows of numbers."""


def _array(found: Any, count: int) -> Vectors:
    try:
        vectors: Vectors = np.asarray(found, np.float32)
    except (TypeError, ValueError):
        raise EncoderAnswerError("the encoder gave something that is not rows of numbers") from None
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
        raise EncoderAnswerError(f"the encoder gave an array of shape {vectors.shape} for {count} texts")
    if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
        raise EncoderAnswerError("the encoder gave a vector that is zero or holds numbers that are not finite")
    return vectors
