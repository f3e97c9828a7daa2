"""Texts as the arrays that models take: sorted by length, padded, and their vectors scaled to length 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from embed.encoders.base import Vectors

BATCH = 8
"""Small batches of like length beat large ones on a CPU: less padding, and activations stay in its caches."""

Tokens = NDArray[np.int64]


def by_length(ids: Sequence[Sequence[int]], size: int = BATCH) -> Iterator[list[int]]:
    """Places of `ids` in batches of like length, the longest first, of at most `size`."""
    order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def padded(ids: Sequence[Sequence[int]], *, pad: int, multiple: int = 1) -> tuple[Tokens, Tokens]:
    """Token ids and attention mask, both of shape (len(ids), longest), the latter rounded up to a `multiple`."""
    longest = max(1, *(len(one) for one in ids))
    width = -(-longest // multiple) * multiple
    tokens = np.full((len(ids), width), pad, np.int64)
    mask = np.zeros((len(ids), width), np.int64)
    for row, one in enumerate(ids):
        tokens[row, : len(one)] = one
        mask[row, : len(one)] = 1
    return tokens, mask


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    return scaled
