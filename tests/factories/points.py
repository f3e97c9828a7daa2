"""Points for tests: seeded vectors and a few terms."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np

from embed.encoders.base import Vectors
from embed.index.base import Payload, Point, SparseVector

DIMENSION = 16
_NAMESPACE = uuid.UUID("00000000-0000-4000-8000-000000000001")


def point_name(number: int) -> str:
    """The id of point `number`."""
    return str(uuid.uuid5(_NAMESPACE, str(number)))


def make_vector(number: int, dimension: int = DIMENSION) -> Vectors:
    """A vector of length 1 that belongs to `number`."""
    vector = np.random.default_rng(number).standard_normal(dimension).astype(np.float32)
    unit: Vectors = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def make_sparse(*terms: int) -> SparseVector:
    """Weight 1 for each term."""
    return SparseVector(tuple(sorted(terms)), (1.0,) * len(terms))


def make_point(number: int, *, terms: tuple[int, ...] = (7,), dense: Vectors | None = None, **payload: Any) -> Point:
    """Point `number`, of tenant 1, source 1 and access node 1 unless told otherwise."""
    values = {"tenant": 1, "source": 1, "document": number, "chunk": number, "acl": 1, **payload}
    vector = make_vector(number) if dense is None else dense
    return Point(point_name(number), vector, make_sparse(*terms), Payload(**values))
