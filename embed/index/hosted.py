"""The embedded index in a process of its own.

The engine holds the interpreter's lock during every call: in the serving process, one search would stop every other
request, and every token of a streamed answer. In a process of its own it stops nobody, uses another core, and takes the
searches that wait meanwhile together, which reads the vectors once for all of them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import embed
from core.gathering import Gathering
from embed.index.base import CollectionSpec, Hit, IndexUnavailableError, Payload, Point, SearchRequest
from embed.index.filters import Restriction, restrict
from policies.scope import ReadScope

MOST_TOGETHER = 16
_LANES = 2
"""Batches of searches on their way: while one is searched, the next is put together."""
_END_S = 30.0

_Asked = tuple[str, SearchRequest, Restriction]


class HostedIndex:
    """The `VectorIndex` protocol over an `EdgeIndex` in a child process, started at first use.

    A child that dies fails the calls it was at; the next call starts another.

    Args:
        path: folder of all collections; made at first use.
        durable: whether a write returns only when it is on the disk.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path, self._durable = path, durable
        self._guard = threading.Lock()
        self._child: _Child | None = None
        self._searches = Gathering[_Asked, list[Hit]](self._search_together, lanes=_LANES, most=MOST_TOGETHER)

    def ensure(self, spec: CollectionSpec) -> None:
        """Creates the collection with its payload indexes unless it stands."""
        self._call("ensure", spec)

    def drop(self, collection: str) -> None:
        """Removes the collection and its files."""
        self._call("drop", collection)

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Stores points; all are checked before any is written."""
        self._call("upsert", collection, list(points))

    def place(self, collection: str, ids: Sequence[str], *, acl: int) -> None:
        """Moves points to another access node."""
        self._call("place", collection, list(ids), acl)

    def describe(self, collection: str, ids: Sequence[str], *, facets: Sequence[int], modified: int) -> None:
        """Replaces the facets and time of points."""
        self._call("describe", collection, list(ids), list(facets), modified)

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Removes points by explicit id."""
        self._call("delete", collection, list(ids))

    def search(self, collection: str, request: SearchRequest, scope: ReadScope) -> list[Hit]:
        """The best hits that scope and filters allow; the engine is not asked where nothing can match."""
        restriction = restrict(scope, request.filters)
        return [] if restriction is None else self._searches.one((collection, request, restriction))

    def existing(self, collection: str, ids: Sequence[str]) -> set[str]:
        """Those of `ids` that the collection holds."""
        found: set[str] = self._call("existing", collection, list(ids))
        return found

    def count(self, collection: str, *, tenant: int | None = None) -> int:
        """Points of the collection or of one tenant in it."""
        counted: int = self._call("count", collection, tenant)
        return counted

    def scan(self, collection: str) -> Iterator[tuple[str, Payload]]:
        """Every point's id and payload, read in pages."""
        offset: str | None = None
        while True:
            page, offset = self._call("page", collection, offset)
            yield from page
            if offset is None:
                return

    def close(self) -> None:
        """Ends the child, which flushes and closes every collection; the next use starts another."""
        with self._guard:
            child, self._child = self._child, None
        if child is not None:
            child.end()

    def _search_together(self, asked: Sequence[_Asked]) -> list[list[Hit]]:
        """Searches of one collection in one call."""
        collections = {collection for collection, _, _ in asked}
        if len(collections) > 1:
            return [self._search_together([one])[0] for one in asked]
        pairs = [(request, restriction) for _, request, restriction in asked]
        found: list[list[Hit]] = self._call("search_many", collections.pop(), pairs, searching=True)
        return found

    def _call(self, method: str, *arguments: Any, searching: bool = False) -> Any:
        child = self._living()
        try:
            failed, value = child.call(method, arguments, searching=searching)
        except (EOFError, OSError) as error:
            self._forget(child)
            raise IndexUnavailableError("the process of the vector index ended; it is started anew") from error
        if failed:
            raise value
        return value

    def _living(self) -> _Child:
        with self._guard:
            if self._child is None:
                self._child = _Child(self._path, self._durable)
            return self._child

    def _forget(self, child: _Child) -> None:
        with self._guard:
            if self._child is child:
                self._child = None
        child.end()


class _Child:
    """The process and its sockets: some for searches, one for everything else, so that writes hold up no search."""

    def __init__(self, path: Path, durable: bool) -> None:
        pairs = [socket.socketpair() for _ in range(_LANES + 1)]
        theirs = [there.fileno() for _, there in pairs]
        arguments = [str(path.absolute()), "1" if durable else "0", *map(str, theirs)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
            [sys.executable, "-m", "embed.index.host", *arguments],
            pass_fds=theirs,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": _import_path()},
        )
        for _, there in pairs:
            there.close()
        lines = [_Line(Connection(here.detach())) for here, _ in pairs]
        self._other, self._searching = lines[0], lines[1:]

    def call(self, method: str, arguments: tuple[Any, ...], *, searching: bool) -> tuple[bool, Any]:
        """Whether it failed, and the answer or the error."""
        lines = self._searching if searching else [self._other]
        for line in lines:
            if line.free.acquire(blocking=False):
                return line.call(method, arguments)
        lines[0].free.acquire()
        return lines[0].call(method, arguments)

    def end(self) -> None:
        """Closes the sockets, at which the process closes the index and ends; kills it where it does not."""
        for line in (self._other, *self._searching):
            line.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Line:
    """One socket; whoever calls holds `free`, which the call gives back."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.free = threading.Lock()

    def call(self, method: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
        try:
            self._connection.send((method, arguments))
            answer: tuple[bool, Any] = self._connection.recv()
            return answer
        finally:
            self.free.release()

    def close(self) -> None:
        """Closes it once no call is on it."""
        with self.free:
            self._connection.close()


def _import_path() -> str:
    """Where the child finds this package, and what its own environment says."""
    here = str(Path(embed.__file__).parents[1])
    given = os.environ.get("PYTHONPATH")
    return here if not given else os.pathsep.join([here, given])
