"""The vector index on a Qdrant server or cluster; needs version 1.19 or later for statistics per tenant."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from embed.index.base import CollectionSpec, Hit, IndexUnavailableError, Payload, Point, SearchRequest
from embed.index.filters import Restriction, restrict, tenant_clause
from embed.index.points import (
    DENSE,
    INTEGER_KEYS,
    batches,
    check_acl,
    check_ids,
    check_name,
    check_points,
    check_spec,
    payload_from_json,
)
from embed.index.server_options import TENANT_KEY, ServerOptions
from embed.index.server_query import server_filter, server_point, server_query, to_hits
from policies.scope import ReadScope

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models

BATCH = 250
PAGE = 1000
EXACT_UP_TO = 50_000
"""Visible points up to which a search is exact: a filtered graph loses neighbours that few points lead to."""

GRPC_PORT = 6334
TIMEOUT_S = 30
OLDEST = (1, 19)
_RECONNECTING = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1000}
"""Left alone, gRPC waits up to two minutes before it looks again for a server that was away."""


class ServerIndex:
    """The `VectorIndex` protocol over `qdrant_client`. Writes wait, in one order, for a majority of the replicas.

    Args:
        url: of the server; its scheme says whether there is TLS.
        grpc_port: of the same host; every call goes there.
        timeout_s: what one call may take.
        options: how a collection is kept that is not there yet, and how many replicas a read asks.
        client: used instead of a connection to `url`.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        grpc_port: int = GRPC_PORT,
        timeout_s: int = TIMEOUT_S,
        options: ServerOptions | None = None,
        client: QdrantClient | None = None,
    ) -> None:
        self._url = url
        self._grpc_port = grpc_port
        self._timeout_s = timeout_s
        self._api_key = api_key
        self._options = options or ServerOptions()
        self._client = client
        self._checked = client is not None
        self._lock = threading.Lock()
        self._closings = 0
        self._dimensions: dict[str, int] = {}

    def ensure(self, spec: CollectionSpec) -> None:
        """Creates the collection with its payload indexes unless it stands."""
        name = check_name(spec.name)
        with self._calls(name) as client:
            if not client.collection_exists(name):
                self._dimensions.pop(name, None)
                self._create(client, spec)
            for key in (TENANT_KEY, *INTEGER_KEYS):
                index = self._options.payload_index(key)
                self._settle(client.create_payload_index(name, key, field_schema=index, wait=True))
        check_spec(spec, self._dimension(name))

    def drop(self, collection: str) -> None:
        """Removes the collection."""
        with self._calls(collection) as client:
            self._dimensions.pop(collection, None)
            if client.collection_exists(check_name(collection)):
                client.delete_collection(collection)

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Stores points; all are checked before any is sent."""
        check_points(points, self._dimension(collection))
        with self._calls(collection) as client:
            for batch in batches(points, BATCH):
                sent = [server_point(point) for point in batch]
                self._settle(client.upsert(collection, sent, wait=True, ordering=_strong()))

    def place(self, collection: str, ids: Sequence[str], *, acl: int) -> None:
        """Moves points to another access node."""
        self._set(collection, ids, {"acl": check_acl(acl)})

    def describe(self, collection: str, ids: Sequence[str], *, facets: Sequence[int], modified: int) -> None:
        """Replaces the facets and time of points."""
        self._set(collection, ids, {"facets": list(facets), "modified": modified})

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Removes points by explicit id."""
        with self._calls(collection) as client:
            for batch in batches(check_ids(ids), PAGE):
                self._settle(client.delete(collection, list(batch), wait=True, ordering=_strong()))

    def search(self, collection: str, request: SearchRequest, scope: ReadScope) -> list[Hit]:
        """The best hits that scope and filters allow; the server is not asked where nothing can match."""
        restriction = restrict(scope, request.filters)
        if restriction is None:
            return []
        with self._calls(collection) as client:
            exact = request.dense is None or self._few(client, collection, restriction)
            query = server_query(request, restriction, exact=exact, quantised=self._options.search(exact=exact))
            if query is None:
                return []
            found = client.query_points(collection, **query, consistency=self._options.consistency())
        return to_hits(found.points)[: request.limit]

    def existing(self, collection: str, ids: Sequence[str]) -> set[str]:
        """Those of `ids` that the collection holds."""
        found: set[str] = set()
        for batch in batches(check_ids(ids), PAGE):
            with self._calls(collection) as client:
                rows = client.retrieve(
                    collection,
                    list(batch),
                    with_payload=False,
                    with_vectors=False,
                    consistency=self._options.consistency(),
                )
            found |= {str(one.id) for one in rows}
        return found

    def count(self, collection: str, *, tenant: int | None = None) -> int:
        """Points of the collection or of one tenant in it, as the replica has it that answers."""
        only = None if tenant is None else server_filter((tenant_clause(tenant),))
        with self._calls(collection) as client:
            return client.count(collection, count_filter=only, exact=True).count

    def scan(self, collection: str) -> Iterator[tuple[str, Payload]]:
        """Every point's id and payload, read in pages."""
        offset: Any = None
        while True:
            with self._calls(collection) as client:
                page, offset = client.scroll(
                    collection, limit=PAGE, offset=offset, with_payload=True, consistency=self._options.consistency()
                )
            for record in page:
                yield str(record.id), payload_from_json(record.payload or {})
            if offset is None:
                return

    def close(self) -> None:
        """Closes the connection; the next use opens another."""
        with self._lock:
            client, self._client = self._client, None
            self._closings += 1
        if client is not None:
            client.close()

    def _create(self, client: QdrantClient, spec: CollectionSpec) -> None:
        try:
            client.create_collection(spec.name, **self._options.collection(spec))
        except Exception:
            if not client.collection_exists(spec.name):  # else another process was first
                raise

    def _set(self, collection: str, ids: Sequence[str], values: dict[str, Any]) -> None:
        """By a filter on the ids, since naming an unknown id directly fails after half the batch is written."""
        from qdrant_client import models

        with self._calls(collection) as client:
            for batch in batches(check_ids(ids), PAGE):
                only = models.Filter(must=[models.HasIdCondition(has_id=list(batch))])
                self._settle(client.set_payload(collection, values, points=only, wait=True, ordering=_strong()))

    def _few(self, client: QdrantClient, collection: str, restriction: Restriction) -> bool:
        only = server_filter(restriction.must, restriction.must_not)
        return client.count(collection, count_filter=only, exact=False).count <= EXACT_UP_TO

    def _dimension(self, collection: str) -> int:
        if collection not in self._dimensions:
            with self._calls(collection) as client:
                vectors = client.get_collection(check_name(collection)).config.params.vectors
            if not isinstance(vectors, dict) or DENSE not in vectors:
                raise IndexUnavailableError(f"collection {collection!r} on the server was not made by Ambit")
            self._dimensions[collection] = vectors[DENSE].size
        return self._dimensions[collection]

    def _settle(self, result: models.UpdateResult) -> None:
        """Refuses a write that the server took and did not finish; to make it again is safe.

        Raises:
            IndexUnavailableError: its points may not be found yet, and may not be on every replica that was asked for.
        """
        if result.status != "completed":
            raise IndexUnavailableError(f"the vector index at {self._url} did not finish a write: {result.status}")

    @contextmanager
    def _calls(self, collection: str) -> Iterator[QdrantClient]:
        """The client, with its failures as designed errors; the server's own words may hold data and are left out."""
        import grpc  # type: ignore[import-untyped]
        from qdrant_client.common.client_exceptions import QdrantException
        from qdrant_client.http.exceptions import ApiException

        closings = self._closings
        try:
            yield self._connected()
        except grpc.RpcError as error:
            code = error.code() if isinstance(error, grpc.Call) else "no code"
            if code == grpc.StatusCode.NOT_FOUND:
                raise IndexUnavailableError(
                    f"the vector index at {self._url} has no collection {collection!r}"
                ) from error
            raise IndexUnavailableError(f"the vector index at {self._url} failed: {code}") from error
        except (ApiException, QdrantException) as error:
            raise IndexUnavailableError(f"the vector index at {self._url} failed: {type(error).__name__}") from error
        except (ValueError, RuntimeError) as error:  # what the client raises that is closed, among others
            if self._closings == closings:
                raise
            raise IndexUnavailableError(f"the connection to the vector index at {self._url} was closed") from error

    def _connected(self) -> QdrantClient:
        """The client; which server it speaks to is asked until one has answered, by no thread for another."""
        with self._lock:
            if self._client is None:
                self._client = self._open()
                self._checked = False
            client = self._client
        if not self._checked:
            _check_version(client.info().version)
            self._checked = True
        return client

    def _open(self) -> QdrantClient:
        from qdrant_client import QdrantClient

        return QdrantClient(
            self._url,
            grpc_port=self._grpc_port,
            grpc_options=dict(_RECONNECTING),
            api_key=self._api_key,
            prefer_grpc=True,
            timeout=self._timeout_s,
            check_compatibility=False,
        )


def _check_version(version: str) -> None:
    """An older server passes over the request for statistics per tenant without a word.

    Raises:
        IndexUnavailableError: the server is older than 1.19 or its version is not understood.
    """
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise IndexUnavailableError(f"the Qdrant server is version {version!r}; Ambit needs 1.19 or later")


def _strong() -> models.WriteOrdering:
    from qdrant_client import models

    return models.WriteOrdering.STRONG
