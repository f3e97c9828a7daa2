"""Parts that fail on demand: an index, a connector, a database clock; each is the real one until told otherwise."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import event, text

from core.db import Database
from embed.index.base import IndexUnavailableError
from ingest.model import Change, Checkpoint, Connector, Content, Delete, ItemRef, JsonObject, Upsert


class FlakyIndex:
    """The real index, away in so many of its calls.

    A write that fails was not made, was made in half, or was made whole and only its answer is lost.
    """

    def __init__(self, index: Any, *, seed: int = 1) -> None:
        self._index, self._chance = index, random.Random(seed)
        self.share, self.slow_s, self.failures = 0.0, 0.0, 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._index, name)
        return self._breaking(name, found) if name in _CALLS and self.share else found

    def _breaking(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            if self._chance.random() >= self.share:
                return call(*arguments, **named)
            self.failures += 1
            time.sleep(self.slow_s)
            how = self._chance.randrange(3)
            if name in ("upsert", "delete") and how == 1:
                call(arguments[0], arguments[1][: len(arguments[1]) // 2])
            elif name != "search" and how == 2:
                call(*arguments, **named)
            raise IndexUnavailableError("it does not answer")

        return called


_CALLS = frozenset(("upsert", "place", "describe", "delete", "search", "count", "existing"))


class Liar:
    """A connector that repeats, reorders and breaks off what the real one says, until it is told to be honest."""

    def __init__(self, connector: Connector, *, seed: int = 1) -> None:
        self._connector, self._chance = connector, random.Random(seed)
        self.lies = 0
        self.honest = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connector, name)

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        if self.honest:
            return iter(self._connector.changes(cursor))
        self.lies += 1
        return self._told(list(self._connector.changes(cursor)), self.lies % 5)

    def _told(self, changes: list[Change], lie: int) -> Iterator[Change]:
        items = [one for one in changes if isinstance(one, Upsert)]
        others = [one for one in changes if not isinstance(one, Upsert | Checkpoint)]
        end = changes[-1]
        self._chance.shuffle(items)
        yield from others
        match lie:
            case 0:  # everything three times, with other versions between, then in another order
                for one in (*items, *items[::-1], *items):
                    yield one
                    yield self._older(one)
                yield end
            case 1:  # it breaks off without a word, in the middle of a page and after a checkpoint
                yield from items[: len(items) // 2]
                yield Checkpoint({"half": True})
                yield from items[: len(items) // 3]
            case 2:  # checkpoints that go back and forth
                for number, one in enumerate(items):
                    yield one
                    yield Checkpoint({"at": number % 3})
                yield end
            case 3:  # deletions of what is not there, and a node that nobody knows
                yield Delete("no such thing")
                yield from items
                yield Upsert(ItemRef(id="lost", node="no such node", title="lost", uri="lost:", version="1"))
                yield end
            case _:
                yield from items[: len(items) // 2]
                raise KeyError("a connector's own mistake")

    def _older(self, change: Upsert) -> Upsert:
        item = change.item
        return Upsert(ItemRef(**{**_fields(item), "version": f"{item.version}-{self._chance.randrange(3)}"}))

    def fetch(self, item: ItemRef) -> Content:
        if not self.honest and self._chance.random() < 0.2:
            raise RuntimeError("a connector's own mistake")
        return self._connector.fetch(item)


def _fields(item: ItemRef) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


class Clock:
    """The database's own clock, moved by so many seconds for one `Database`."""

    def __init__(self, db: Database) -> None:
        self._db, self.moved_s = db, 0.0
        if db.is_sqlite:
            event.listen(db.engine, "connect", self._override)
        else:
            self._shadow()
            event.listen(db.engine, "connect", self._put_first)
        db.engine.dispose()

    def move(self, seconds: float) -> None:
        self.moved_s += seconds
        if not self._db.is_sqlite:
            with self._db.write() as session:
                session.execute(text("UPDATE moved.clock SET seconds = :s"), {"s": self.moved_s})

    def _override(self, connection: Any, _: Any) -> None:
        """An application's function goes before SQLite's own of that name."""
        connection.create_function("julianday", 1, lambda _: time.time() / 86400 + 2440587.5 + self.moved_s / 86400)

    def _shadow(self) -> None:
        with self._db.write() as session:
            for statement in _SHADOW:
                session.execute(text(statement))

    def _put_first(self, connection: Any, _: Any) -> None:
        connection.execute("SET search_path TO moved, public, pg_catalog")
        connection.commit()


_SHADOW: Sequence[str] = (
    "CREATE SCHEMA moved",
    "CREATE TABLE moved.clock (seconds double precision)",
    "INSERT INTO moved.clock VALUES (0)",
    (
        "CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
        "'SELECT pg_catalog.clock_timestamp() + (SELECT seconds FROM moved.clock) * interval ''1 second'''"
    ),
)
