"""Statements of the hot paths: compiled once for a database, run by its driver, read as plain named tuples.

Putting a statement together, caching it and wrapping its rows costs SQLAlchemy several times what a small query costs
the database. A `Prepared` statement pays that once; it still runs in the session's own transaction and snapshot.
"""

from __future__ import annotations

import json
import threading
from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Dialect,
    Insert,
    Select,
    String,
    TextualSelect,
    Update,
    bindparam,
    insert,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from core import tenancy
from core.lean import Lean, as_told


class IdList(TypeDecorator[Sequence[int]]):
    """A list of ids as one parameter, so that the statement's text does not depend on how many there are."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """An array where the database has arrays, else JSON."""
        return dialect.type_descriptor(ARRAY(BigInteger()) if dialect.name == "postgresql" else String())

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> Any:
        """What the driver is given."""
        listed = [] if value is None else list(value)
        return listed if dialect.name == "postgresql" else json.dumps(listed)


class _Among(FunctionElement[bool]):
    name = "among"
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        """Itself: written as `... = 1`, as other booleans are for SQLite, no index would serve it."""
        return self


@compiles(_Among)
def _among_told(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    """For statements that are only looked at; no database runs this."""
    column, ids = (compiler.process(one, **options) for one in element.clauses)
    return f"among({column}, {ids})"


@compiles(_Among, "sqlite")
def _among_json(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 - both parts are compiled SQL


@compiles(_Among, "postgresql")
def _among_array(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} = ANY({ids})"


def among(column: Any, name: str) -> ColumnElement[bool]:
    """Whether an integer column is in the list of ids bound as `name`; an empty list holds nothing."""
    return _Among(column, bindparam(name, type_=IdList()))


def of_tenant(column: Any) -> ColumnElement[bool]:
    """Whether a row is of the `tenant`, where ids say which rows are meant: written so that no index on the tenant is
    taken instead of the ids, which would read all the tenant has.
    """
    checked: ColumnElement[bool] = column + 0 == bindparam("tenant")
    return checked


def dialect_of(session: Session) -> str:
    """Name of the database's dialect: `sqlite` or `postgresql`."""
    engine = session.engine if isinstance(session, Lean) else session.get_bind()
    return engine.dialect.name


Statement = Select[*tuple[Any, ...]] | TextualSelect | Insert | Update


def insertion(table: type[Any], *names: str, returning: str | None = None) -> Prepared:
    """An insert of one row with these columns given, each by its name; the others are as the database has them. It
    gives back the column that `returning` names.
    """
    statement = insert(table.__table__).inline()
    return Prepared(statement if returning is None else statement.returning(table.__table__.c[returning]), names)


class Prepared:
    """A statement without literals that change: every value is a `bindparam`, every list of ids an `among`.

    That is a `select`, a text with its columns, an `update`, or an `insertion`, which `given` names the columns of.
    """

    def __init__(self, statement: Statement, given: Sequence[str] | None = None) -> None:
        self.statement = statement
        self._given = given
        names = [str(column.key) for column in _columns(statement)]
        row: Any = namedtuple("Row", names)  # type: ignore[misc]  # noqa: PYI024 - the names are data
        self._row: Callable[[Sequence[Any]], Any] = row._make
        self._compiled: dict[str, _Compiled] = {}
        self._readying = threading.Lock()

    def all(self, session: Session, **values: Any) -> list[Any]:
        """The rows, as named tuples.

        Raises:
            DBAPIError: the database refused it or did not answer; parameters are left out.
        """
        return [self._row(row) for row in self.plain(session, **values)]

    def plain(self, session: Session, **values: Any) -> Sequence[Sequence[Any]]:
        """As `all`, without names: for rows by the thousand."""
        if isinstance(session, Lean):
            if session.whole:
                session.ready()
            link, dialect, dispatch = session.link, session.engine.dialect, session.engine.dispatch
            walled = session.tenant is not None
        else:
            if session.autoflush:
                session.flush()  # what runs past SQLAlchemy's session does not do that by itself
            connection = session.connection()
            link, dialect, dispatch = connection.connection, connection.dialect, connection.dispatch
            walled = tenancy.TENANT in connection.get_execution_options()
        compiled = self._compiled.get(dialect.name)
        if compiled is None or (walled and not compiled.checked):
            compiled = self._readied(dialect, walled=walled)
        bound = compiled.bound(values)
        try:
            cursor = link.cursor()
            try:
                for told in dispatch.before_cursor_execute:  # whoever counts statements counts this one
                    told(session, cursor, compiled.text, bound, None, False)
                cursor.execute(compiled.text, bound)
                found: Sequence[Sequence[Any]] = [] if cursor.description is None else cursor.fetchall()
            finally:
                cursor.close()
        except dialect.loaded_dbapi.Error as error:
            raise as_told(error, compiled.text, dialect) from error
        return [compiled.converted(row) for row in found] if compiled.converts else found

    def _readied(self, dialect: Dialect, *, walled: bool) -> _Compiled:
        """Compiled and, for a session of one tenant, looked at: by the first who comes, for all who wait meanwhile."""
        with self._readying:
            compiled = self._compiled.get(dialect.name)
            if compiled is None:
                compiled = self._compiled[dialect.name] = _Compiled(self.statement, self._given, dialect)
            if walled and not compiled.checked:
                tenancy.check(self.statement)
                compiled.checked = True
            return compiled

    def first(self, session: Session, **values: Any) -> Any:
        """The first row, or None."""
        found = self.all(session, **values)
        return found[0] if found else None


def _columns(statement: Statement) -> Sequence[Any]:
    """What a row of it has."""
    if isinstance(statement, (Insert, Update)):
        return list(statement.exported_columns)
    return list(statement.selected_columns)


class _Compiled:
    """A statement's text in one dialect, with what turns values into the driver's and back."""

    def __init__(self, statement: Statement, given: Sequence[str] | None, dialect: Dialect) -> None:
        compiled: Any = statement.compile(
            dialect=dialect, column_keys=given, compile_kwargs={"render_postcompile": True}
        )
        self.text: str = str(compiled)
        self.checked = False
        """Whether it may run in a session that is opened for a tenant."""
        self._positions: Sequence[str] | None = compiled.positiontup
        self._given: dict[str, Any] = dict(compiled.params)
        self._into: dict[str, Callable[[Any], Any]] = dict(compiled._bind_processors)  # noqa: SLF001 - no public way
        self._out = [
            (place, convert)
            for place, column in enumerate(_columns(statement))
            if (convert := column.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
        ]
        self.converts = bool(self._out)

    def bound(self, values: dict[str, Any]) -> Any:
        """The driver's parameters."""
        given = self._given | values
        for name, convert in self._into.items():
            given[name] = convert(given[name])
        return given if self._positions is None else [given[name] for name in self._positions]

    def converted(self, row: Sequence[Any]) -> list[Any]:
        """One row with its values as Python has them."""
        read = list(row)
        for place, convert in self._out:
            read[place] = convert(read[place])
        return read
