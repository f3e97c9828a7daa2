"""One transaction of a pooled connection whose prepared statements go to the driver alone.

Putting a SQLAlchemy session on a connection costs several times what the small statements of a request cost. A `Lean`
session begins its transaction at the driver and becomes a whole session at the first use of anything else, in that
very transaction. `core.snapshot` reads, `core.writing` writes.
"""

from __future__ import annotations

from typing import Any, Self

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from core.tenancy import TENANT

BEGUN = "ambit_begun"
"""Execution option of a connection: its transaction has begun at the driver."""


class Lean(Session):
    """One transaction of a pooled connection, to be entered.

    Attributes:
        engine: where the connection is from.
        link: the pooled connection.
        tenant: whom it is opened for; None: all tenants.
        whole: whether it has become a whole session.
    """

    link: PoolProxiedConnection
    whole: bool

    def __init__(self, engine: Engine, tenant: int | None) -> None:
        self.engine = engine
        self.tenant = tenant
        self._on_server = engine.dialect.name != "sqlite"
        self._connection: Connection | None = None
        self.whole = False

    def __enter__(self) -> Self:
        """Takes a connection and begins.

        Raises:
            DBAPIError: the database does not answer, or does not let it begin.
        """
        dialect = self.engine.dialect
        try:
            self.link = self.engine.raw_connection()
        except dialect.loaded_dbapi.Error as error:
            raise as_told(error, "connect", dialect) from error
        try:
            self._begin()
        except dialect.loaded_dbapi.Error as error:
            self.link.invalidate()
            raise as_told(error, "BEGIN", dialect) from error
        except OperationalError:
            self.link.invalidate()
            raise
        return self

    def _begin(self) -> None:
        """Begins at the driver."""
        raise NotImplementedError

    def _grow(self, connection: Connection) -> None:
        """Becomes a whole session on the connection."""
        raise NotImplementedError

    def ready(self) -> None:
        """Is whole, and about to run a prepared statement."""

    @property
    def _driver(self) -> Any:
        """The driver's own connection; None where it was lost on the way."""
        return self.link.dbapi_connection

    def __getattr__(self, name: str) -> Any:
        """What only a whole session has: it becomes one."""
        if self.whole:
            raise AttributeError(name)
        self.whole = True
        options = {BEGUN: True} if self.tenant is None else {BEGUN: True, TENANT: self.tenant}
        self._connection = Connection(self.engine, self.link).execution_options(**options)
        self._grow(self._connection)
        return getattr(self, name)

    def _give_back(self) -> None:
        """Gives the connection back."""
        if self._connection is not None:
            self.close()
            self._connection.close()
        else:
            self.link.close()


def as_told(error: Exception, statement: str, dialect: Any) -> DBAPIError:
    """The driver's error by its kind, so that a database that is away is told as away; without parameters."""
    known = DBAPIError.instance(statement, None, error, dialect.loaded_dbapi.Error, dialect=dialect)
    return known if isinstance(known, DBAPIError) else DBAPIError(statement, None, error)
