"""A read-only snapshot whose prepared statements go to the driver alone.

Putting a SQLAlchemy session on a connection costs several times what the small statements of a query cost. A `Snapshot`
begins its transaction at the driver and becomes a whole session at the first use of anything else, in that very
transaction.
"""

from __future__ import annotations

from typing import Any, Self

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from core import row_security
from core.tenancy import TENANT

BEGUN = "ambit_begun"
"""Execution option of a connection: its transaction has begun at the driver."""


class Snapshot(Session):
    """One read-only transaction of a pooled connection; nothing that is changed in it is kept.

    Attributes:
        engine: where the connection is from.
        link: the pooled connection.
        tenant: whom it is opened for; None: all tenants.
        read: what `memory` keeps.
    """

    link: PoolProxiedConnection

    def __init__(self, engine: Engine, tenant: int | None) -> None:
        self.engine = engine
        self.tenant = tenant
        self.read: dict[str, dict[Any, Any]] = {}
        self._on_server = engine.dialect.name != "sqlite"
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        """Takes a connection and begins.

        Raises:
            DBAPIError: the database does not answer.
        """
        dialect = self.engine.dialect
        try:
            self.link = self.engine.raw_connection()
        except dialect.loaded_dbapi.Error as error:
            raise as_told(error, "connect", dialect) from error
        try:
            self._begin()
        except OperationalError:
            self.link.invalidate()
            raise
        return self

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
        if self._connection is not None:
            self.close()
            self._connection.close()
        else:
            self.link.close()

    def _begin(self) -> None:
        if self._on_server:
            row_security.begin_snapshot(self.link.driver_connection, self.tenant)
        else:
            self._driver.execute("BEGIN")

    @property
    def _driver(self) -> Any:
        return self.link.driver_connection

    def __getattr__(self, name: str) -> Any:
        """What only a whole session has: it becomes one."""
        if self._connection is not None:
            raise AttributeError(name)
        options = {BEGUN: True} if self.tenant is None else {BEGUN: True, TENANT: self.tenant}
        self._connection = Connection(self.engine, self.link).execution_options(**options)
        super().__init__(self._connection, autoflush=False)
        return getattr(self, name)

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


def as_told(error: Exception, statement: str, dialect: Any) -> DBAPIError:
    """The driver's error by its kind, so that a database that is away is told as away; without parameters."""
    known = DBAPIError.instance(statement, None, error, dialect.loaded_dbapi.Error, dialect=dialect)
    return known if isinstance(known, DBAPIError) else DBAPIError(statement, None, error)
