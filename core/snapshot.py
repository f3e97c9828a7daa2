"""A read-only snapshot, lean until something else than a prepared statement is asked of it (`core.lean`)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from core import row_security
from core.lean import Lean
from core.tenancy import TENANT


class Snapshot(Lean):
    """One read-only transaction of a pooled connection; nothing that is changed in it is kept.

    Attributes:
        read: what `memory` keeps.
    """

    def __init__(self, engine: Engine, tenant: int | None) -> None:
        super().__init__(engine, tenant)
        self.read: dict[str, dict[Any, Any]] = {}

    def __exit__(self, *_: object) -> None:
        """Gives the connection back.

        On a server it ends with a commit, since the driver forgets the statements it has prepared at a rollback; it
        can have changed nothing.
        """
        try:
            if self._driver is not None:  # None: it was lost on the way
                self._driver.commit() if self._on_server else self._driver.rollback()
        except self.engine.dialect.loaded_dbapi.Error:
            self.link.invalidate()
        self._give_back()

    def _begin(self) -> None:
        if self._on_server:
            row_security.begin_snapshot(self._driver, self.tenant)
        else:
            self._driver.execute("BEGIN")

    def _grow(self, connection: Connection) -> None:
        Session.__init__(self, connection, autoflush=False)

    def narrow(self, tenant: int) -> None:
        """Reaches one tenant's rows alone from here on, in the same transaction."""
        self.tenant = tenant
        if self._connection is not None:
            self._connection.execution_options(**{TENANT: tenant})
        if self._on_server:
            row_security.narrow(self._driver, tenant)


def memory(session: Session, name: str) -> dict[Any, Any]:
    """What was read in a snapshot under a name, for reading it once: nothing changes in it. In a session that may
    write, and so may read something else the next time, it is empty each time.
    """
    return session.read.setdefault(name, {}) if isinstance(session, Snapshot) else {}
