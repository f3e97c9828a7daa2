"""A small encoder that keeps the protocol without weights: for tests of what happens around encoding."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence

import numpy as np

from embed.encoders.base import Tokenizer, Vectors
from tests.factories.tokenizer import minilm_tokenizer

DIMENSION = 64


class WordEncoder:
    """Sums a fixed random vector for each word: texts that share words are near one another.

    `delay_s` is spent on each text, so that a sync lasts long enough to be interrupted; `fail` raises on demand.
    """

    name = "word-hash"
    tag = "word-hash/numpy"
    dimension = DIMENSION
    max_tokens = 512
    passage_prompt = ""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.encoded = 0
        self.fail: Exception | None = None
        self._tokenizer = minilm_tokenizer()

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    def warm_up(self) -> None:
        return

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        if self.fail is not None:
            raise self.fail
        time.sleep(self.delay_s * len(texts))
        self.encoded += len(texts)
        rows = [self._vector(text) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, DIMENSION), np.float32)

    def encode_query(self, text: str) -> Vectors:
        return self._vector(text)

    @staticmethod
    def _vector(text: str) -> Vectors:
        total = np.full(DIMENSION, 1e-3)
        for word in re.findall(r"\w+", text.casefold()):
            seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
            total += np.random.default_rng(seed).standard_normal(DIMENSION)
        unit: Vectors = (total / np.linalg.norm(total)).astype(np.float32)
        return unit


class HalfEncoder(WordEncoder):
    """Another model: vectors of half the length."""

    name = "word-hash-half"
    tag = "word-hash-half/numpy"
    dimension = DIMENSION // 2

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        whole = super().encode_passages(texts)[:, : self.dimension]
        cut: Vectors = whole / np.linalg.norm(whole, axis=1, keepdims=True)
        return cut.astype(np.float32)

    def encode_query(self, text: str) -> Vectors:
        first: Vectors = self.encode_passages([text])[0]
        return first
