"""What may be stored: points are checked here before any engine sees one, since engines apply half of a bad batch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, TypeVar
from uuid import UUID

import numpy as np

from core.errors import ConflictError, InvalidError
from embed.encoders.base import Vectors
from embed.index.base import CollectionSpec, Payload, Point, PointRefusedError, SparseVector

DENSE: Final = "dense"
SPARSE: Final = "bm25"
INTEGER_KEYS: Final = ("tenant", "source", "document", "acl", "facets", "modified")
"""Payload keys with an index of their own; `modified` alone is asked for by range."""

_COLLECTION = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,127}$")
_NORM_TOLERANCE = 0.01
_Item = TypeVar("_Item")


def check_name(collection: str) -> str:
    """`collection` if it may name one; it becomes a folder's name.

    Raises:
        InvalidError: it may not.
    """
    if not _COLLECTION.match(collection):
        raise InvalidError(f"{collection!r} names no collection; use lower-case letters, digits, `_`, `.`, `-`")
    return collection


def check_spec(spec: CollectionSpec, standing: int) -> None:
    """Refuses a collection that stands with another dimension.

    Raises:
        ConflictError: the dimensions differ.
    """
    if spec.dimension != standing:
        raise ConflictError(
            f"collection {spec.name!r} holds vectors of {standing} dimensions, not {spec.dimension}; "
            "re-embed into a new generation"
        )


def check_points(points: Sequence[Point], dimension: int) -> None:
    """Refuses the whole batch when one point may not be stored.

    Raises:
        PointRefusedError: names the point and what is wrong with it.
    """
    for point in points:
        wrong = _wrong(point, dimension)
        if wrong:
            raise PointRefusedError(f"point {point.id!r}: {wrong}; nothing of the batch was stored")


def check_acl(acl: int) -> int:
    """`acl` if it is an access node.

    Raises:
        PointRefusedError: it is not; a point without a node would be readable by filters that exclude nodes.
    """
    if acl < 1:
        raise PointRefusedError(f"access node {acl} does not exist; a point needs a node of at least 1")
    return acl


def check_ids(ids: Sequence[str]) -> list[str]:
    """`ids` without repetitions, if all are UUIDs.

    Raises:
        PointRefusedError: one is not.
    """
    for one in ids:
        if not _is_uuid(one):
            raise PointRefusedError(f"{one!r} is no point id; use core.ids.point_id")
    return list(dict.fromkeys(ids))


def batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """`items` in pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def payload_to_json(payload: Payload) -> dict[str, Any]:
    """The payload as the engines store it."""
    return {
        "tenant": payload.tenant,
        "source": payload.source,
        "document": payload.document,
        "chunk": payload.chunk,
        "acl": payload.acl,
        "facets": list(payload.facets),
        "modified": payload.modified,
    }


def payload_from_json(stored: Mapping[str, Any]) -> Payload:
    """The payload an engine gave back."""
    return Payload(
        tenant=int(stored["tenant"]),
        source=int(stored["source"]),
        document=int(stored["document"]),
        chunk=int(stored["chunk"]),
        acl=int(stored["acl"]),
        facets=tuple(int(one) for one in stored.get("facets") or ()),
        modified=int(stored.get("modified", 0)),
    )


def wrong_vector(dense: Vectors, dimension: int) -> str:
    """What keeps a dense vector from being stored or searched with; empty: nothing does."""
    vector = np.asarray(dense)
    if vector.shape != (dimension,):
        return f"its vector has shape {vector.shape}, and must have ({dimension},)"
    if not np.isfinite(vector).all():
        return "its vector is not finite"
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return "" if abs(length - 1) <= _NORM_TOLERANCE else f"its vector has length {length:.3f}, and must have 1"


def _wrong(point: Point, dimension: int) -> str:
    if not _is_uuid(point.id):
        return "its id is no UUID"
    return _wrong_payload(point.payload) or wrong_vector(point.dense, dimension) or _wrong_sparse(point.sparse)


def _wrong_payload(payload: Payload) -> str:
    for key in ("acl", "tenant", "source", "document", "chunk"):
        if getattr(payload, key) < 1:
            return f"its {key} is {getattr(payload, key)}, and must be at least 1"
    return ""


def _wrong_sparse(sparse: SparseVector) -> str:
    if len(sparse.indices) != len(sparse.values):
        return "its sparse indices and values differ in number"
    if not np.isfinite(sparse.values).all():
        return "its sparse values are not finite"
    ascending = all(left < right for left, right in pairwise(sparse.indices))
    if not ascending or (sparse.indices and not 0 <= sparse.indices[0] <= sparse.indices[-1] < 2**32):
        return "its sparse indices are not ascending unsigned 32-bit numbers"
    return ""


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except (ValueError, AttributeError, TypeError):
        return False
