"""What every encoder shares: prompts before the text, and queries that come together encoded together."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from core.gathering import Gathering
from embed.encoders.base import Vectors
from embed.encoders.batches import BATCH
from embed.encoders.files import ModelFiles
from embed.encoders.tokenizer import FastTokenizer

QUERIES = 2 * BATCH
"""Queries encoded together. Measured on two cores under 16 threads: the slowest twentieth waits a third as long as when
each query is encoded alone, and more of them are encoded in all."""


class CommonEncoder(ABC):
    """Base of the `Encoder` protocol's implementations.

    Args:
        lanes: batches of queries that are encoded at the same time.
        most: queries of one batch.
    """

    def __init__(self, *, lanes: int = 1, most: int = QUERIES) -> None:
        self._queries = Gathering(self._encode_queries, lanes=lanes, most=most)

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    @abstractmethod
    def query_prompt(self) -> str:
        """What stands before every query."""

    @property
    @abstractmethod
    def passage_prompt(self) -> str:
        """What stands before every passage."""

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dimension) in the order given."""
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        return self._encode([self.passage_prompt + text for text in texts])

    def encode_query(self, text: str) -> Vectors:
        """One vector of shape (dimension,); queries of other threads may be encoded with it."""
        return self._queries.one(text)

    def _encode_queries(self, texts: Sequence[str]) -> Sequence[Vectors]:
        return list(self._encode([self.query_prompt + text for text in texts]))

    @abstractmethod
    def _encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of at least one text, each of length 1."""


class LocalEncoder(CommonEncoder):
    """Base of the encoders that run a model of this machine; nothing is read before it is asked for.

    Args:
        files: the model's folder.
        threads: of one encoding; 0: one for each core this process may use.
    """

    def __init__(self, files: ModelFiles, *, threads: int = 0, lanes: int = 1) -> None:
        super().__init__(lanes=lanes)
        self._files = files
        self._threads = threads
        self._warming = threading.Lock()
        self._tokenizer: FastTokenizer | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self._files.name

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._files.dimension

    @property
    def max_tokens(self) -> int:
        """Tokens beyond which text is cut."""
        return self._files.max_tokens

    @property
    def query_prompt(self) -> str:
        """What stands before every query."""
        return self._files.query_prompt

    @property
    def passage_prompt(self) -> str:
        """What stands before every passage."""
        return self._files.passage_prompt

    @property
    def tokenizer(self) -> FastTokenizer:
        """The tokenizer alone."""
        with self._warming:
            if self._tokenizer is None:
                self._tokenizer = FastTokenizer(self._files.tokenizer)
            return self._tokenizer
