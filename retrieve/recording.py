"""The audit of queries: durable before anything is shown, one commit for all that end at the same time.

A commit waits for the disk, and only one writer may commit at a time. So whoever comes first writes for everybody
who waits by then; the others find their entry written. Alone, a query pays one commit; under load, many share one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from core.audit import REQUEST, Audit
from core.db import Database
from core.errors import AccessUndecidedError

_TOGETHER = 64


@dataclass(slots=True)
class _Entry:
    tenant: int
    actor: str
    body: Callable[[Session], dict[str, Any]]
    request: str | None
    written: dict[str, Any] | None = None
    error: Exception | None = None


class QueryLog:
    """Appends audit entries of kind `query`. Thread-safe."""

    def __init__(self, db: Database, audit: Audit) -> None:
        self._db, self._audit = db, audit
        self._waiting: list[_Entry] = []
        self._adding = threading.Lock()
        self._writing = threading.Lock()

    def append(self, tenant: int, actor: str, body: Callable[[Session], dict[str, Any]]) -> dict[str, Any]:
        """Returns what `body` made, once the entry is committed; `body` runs within the transaction that writes it.

        Raises:
            Exception: whatever kept it from being written; nothing may be shown then.
        """
        mine = _Entry(tenant, actor, body, REQUEST.get())
        with self._adding:
            self._waiting.append(mine)
        with self._writing:
            while mine.written is None and mine.error is None:
                self._write_some()
        if mine.written is None:
            raise mine.error or _unwritten()
        return mine.written

    def _write_some(self) -> None:
        """Writes what waits, oldest first. An entry that fails is tried again alone, so that it fails nobody else."""
        with self._adding:
            batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
        if not self._written(batch) and len(batch) > 1:
            for one in batch:
                self._written([one])

    def _written(self, batch: Sequence[_Entry]) -> bool:
        """Whether all of the batch was committed. However this ends, each has its entry or an error."""
        bodies: list[dict[str, Any]] = []
        error: Exception = _unwritten()
        committed = False
        try:
            with self._db.write() as session:
                for one in batch:
                    bodies.append(one.body(session))
                    self._audit.append(session, one.tenant, "query", one.actor, bodies[-1], request=one.request)
            committed = True
        except Exception as failed:  # noqa: BLE001 - told to whoever waits for it
            error = failed
        finally:
            for place, one in enumerate(batch):
                one.written, one.error = (bodies[place], None) if committed else (None, error)
        return committed


def _unwritten() -> AccessUndecidedError:
    return AccessUndecidedError("the query could not be recorded; try again later")
