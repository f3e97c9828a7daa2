"""The encoder protocol: text in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Tokenizer(Protocol):
    """Counts and cuts text as one encoder's own tokenizer does, without loading its weights. Thread-safe."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the special ones an encoder adds."""
        ...

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token in `text`, in characters, in order."""
        ...


class Encoder(Protocol):
    """Turns text into vectors of length 1, the same for the same text, within the backend's precision.

    Thread-safe once warm. `tag` names model, backend and precision; vectors of two tags may share a generation only
    when their reference vectors agree (cosine at least 0.99).
    """

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def tag(self) -> str:
        """Model, backend and precision, as in `all-MiniLM-L6-v2/torch-bf16`."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens beyond which the encoder stops reading, special ones included."""
        ...

    @property
    def passage_prompt(self) -> str:
        """What it puts before every passage; often nothing."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer alone; available before `warm_up`."""
        ...

    def warm_up(self) -> None:
        """Loads the weights; safe to call again."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dimension), float32, each of length 1, in the order given."""
        ...

    def encode_query(self, text: str) -> Vectors:
        """One vector of shape (dimension,), float32, of length 1."""
        ...
