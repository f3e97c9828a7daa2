"""Texts as the arrays that models take: sorted by length, padded, and their vectors scaled to length 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from embed.encoders.base import Vectors

BATCH = 8
"""Small batches of like length beat large ones on a CPU: less padding, and activations stay in its caches."""

Tokens = NDArray[np.int64]


def by_length(ids: Sequence[Sequence[int]], size: int = BATCH, *, few_shapes: bool = False) -> Iterator[list[int]]:
    """Places of `ids` in batches of like length, the longest first, of at most `size`.

    With `few_shapes` the number of places is a power of two in each, for engines that keep memory for every shape.
    """
    order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
    start = 0
    while rest := len(order) - start:
        count = min(size, 1 << rest.bit_length() - 1 if few_shapes else rest)
        yield order[start : start + count]
        start += count


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
