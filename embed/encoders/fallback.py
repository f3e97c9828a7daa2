"""The faster of two encoders of one model, as long as it works."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from core.errors import AmbitError
from embed.encoders.base import Encoder, Tokenizer, Vectors
from embed.encoders.verify import verify

_log = logging.getLogger(__name__)


class FallbackEncoder:
    """The `Encoder` protocol by `first`; by `second` where `first` cannot be loaded or makes other vectors.

    Which one it is is decided once, at `warm_up`; a warning says so when it is `second`.
    """

    def __init__(self, first: Encoder, second: Encoder) -> None:
        self._first, self._second = first, second
        self._chosen: Encoder | None = None
        self._choosing = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name."""
        return self._first.name

    @property
    def tag(self) -> str:
        """That of the encoder in use; finding it out loads the model."""
        return self._encoder().tag

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._first.dimension

    @property
    def max_tokens(self) -> int:
        """Tokens beyond which text is cut."""
        return self._first.max_tokens

    @property
    def passage_prompt(self) -> str:
        """What stands before every passage, the same for both."""
        return self._first.passage_prompt

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer alone, the same for both."""
        return self._first.tokenizer

    def warm_up(self) -> None:
        """Chooses, and loads the weights."""
        self._encoder()

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dimension) in the order given."""
        return self._encoder().encode_passages(texts)

    def encode_query(self, text: str) -> Vectors:
        """One vector of shape (dimension,)."""
        return self._encoder().encode_query(text)

    def _encoder(self) -> Encoder:
        with self._choosing:
            if self._chosen is None:
                self._chosen = self._choose()
            return self._chosen

    def _choose(self) -> Encoder:
        try:
            self._first.warm_up()
            verify(self._first)
        except (AmbitError, OSError, RuntimeError, ImportError) as error:
            reason = error.detail if isinstance(error, AmbitError) else f"{type(error).__name__}: {error}"
            _log.warning("encoder %s runs on its slower backend: %s", self.name, reason)
            self._second.warm_up()
            return self._second
        return self._first
