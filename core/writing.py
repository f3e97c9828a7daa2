"""A transaction that writes, lean until something else than a prepared statement is asked of it (`core.lean`)."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session, SessionTransaction

from core import row_security
from core.lean import Lean, as_told


class Writing(Lean):
    """One transaction: committed when its block ends, rolled back when it raises.

    SQLite takes the write lock at once, so no later step can be refused it.
    """

    _root: SessionTransaction

    def _begin(self) -> None:
        if self._on_server:
            row_security.begin_write(self._driver, self.tenant)
        else:
            self._driver.execute("BEGIN IMMEDIATE")

    def _grow(self, connection: Connection) -> None:
        Session.__init__(self, connection, expire_on_commit=False)
        self._root = self.begin()
        self._root.__enter__()
        self.connection()  # so that it commits what prepared statements wrote, whatever else is asked of it

    def ready(self) -> None:
        """Writes what a whole session holds back, since a prepared statement runs past it."""
        if self.autoflush:
            self.flush()
        self.connection()  # which refuses where the transaction was rolled back

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the transaction and gives the connection back.

        Raises:
            DBAPIError: the database did not commit; nothing of it holds.
        """
        try:
            if self.whole:
                self._root.__exit__(kind, error, trace)
            elif kind is None:
                self._commit()
            else:
                self._roll_back()
        finally:
            self._give_back()

    def _roll_back(self) -> None:
        try:
            if self._driver is not None:  # None: it was lost on the way
                self._driver.rollback()
        except self.engine.dialect.loaded_dbapi.Error:
            self.link.invalidate()

    def _commit(self) -> None:
        dialect = self.engine.dialect
        try:
            self._driver.commit()
        except dialect.loaded_dbapi.Error as error:
            self.link.invalidate()  # which rolls back
            raise as_told(error, "COMMIT", dialect) from error


def innermost(session: Session) -> Any:
    """The savepoint or transaction that a session is in; None in a lean one that is not whole: it has but one."""
    if isinstance(session, Lean) and not session.whole:
        return None
    return session.get_nested_transaction() or session.get_transaction()
