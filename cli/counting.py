"""An index that counts what is written to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embed.index.base import CollectionSpec, Hit, Payload, Point, SearchRequest, VectorIndex
    from embed.stack import VectorStack
    from policies.scope import ReadScope


class CountingIndex:
    """Passes every call on.

    Attributes:
        vectors: points written with their vectors.
        touched: points whose payload was changed, and points removed.
    """

    def __init__(self, inner: VectorIndex) -> None:
        self._inner = inner
        self.vectors = self.touched = 0

    @classmethod
    def around(cls, stack: VectorStack) -> CountingIndex:
        """Puts a counting one before the index of a stack."""
        counting = cls(stack.index)
        vars(stack)["_index"] = counting
        return counting

    def ensure(self, spec: CollectionSpec) -> None:
        """As the index does."""
        self._inner.ensure(spec)

    def drop(self, collection: str) -> None:
        """Counts every point of the collection."""
        self.touched += self._inner.count(collection)
        self._inner.drop(collection)

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Counts vectors."""
        self.vectors += len(points)
        self._inner.upsert(collection, points)

    def place(self, collection: str, ids: Sequence[str], *, acl: int) -> None:
        """Counts payloads."""
        self.touched += len(ids)
        self._inner.place(collection, ids, acl=acl)

    def describe(self, collection: str, ids: Sequence[str], *, facets: Sequence[int], modified: int) -> None:
        """Counts payloads."""
        self.touched += len(ids)
        self._inner.describe(collection, ids, facets=facets, modified=modified)

    def existing(self, collection: str, ids: Sequence[str]) -> set[str]:
        """As the index does."""
        return self._inner.existing(collection, ids)

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Counts removals."""
        self.touched += len(ids)
        self._inner.delete(collection, ids)

    def search(self, collection: str, request: SearchRequest, scope: ReadScope) -> list[Hit]:
        """As the index does."""
        return self._inner.search(collection, request, scope)

    def count(self, collection: str, *, tenant: int | None = None) -> int:
        """As the index does."""
        return self._inner.count(collection, tenant=tenant)

    def scan(self, collection: str) -> Iterator[tuple[str, Payload]]:
        """As the index does."""
        return self._inner.scan(collection)

    def close(self) -> None:
        """As the index does."""
        self._inner.close()
