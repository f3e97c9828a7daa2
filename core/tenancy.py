"""Tenants kept apart by construction, in the sessions that are opened for one of them.

First wall: every statement that such a session compiles is looked at once, so that nothing is added to one that runs
again. Each table with a `tenant_id` that it reads, changes or deletes must be bound to a tenant, to rows that are (by
a join or a subquery), or to rows by their internal ids, which no caller can name. What callers name (public ids, keys,
external ids, e-mail addresses) is never enough. A statement that is not bound does not run.

Second wall, on PostgreSQL: `core.row_security`. The transaction is told its tenant as it begins, and the database shows
no other's rows, whatever the statement says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Alias, ColumnClause, Connection, Engine, Integer, Join, Table, Tuple, event
from sqlalchemy.engine.default import StrCompileDialect
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import Delete, Update
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, Grouping
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import AliasedReturnsRows, Select

from core.errors import AmbitError

TENANT = "ambit_tenant"
"""Execution option of a connection: the tenant that its session was opened for."""
_CHECKED = "_ambit_tenants_checked"
_WORD = re.compile(r"[a-z_]+")
_DIALECT = StrCompileDialect()
_TYING = frozenset({operators.eq, operators.in_op})


class TenantMissingError(AmbitError):
    """A statement would read or change rows of every tenant. It did not run."""

    code = "tenant_missing"
    status = 500
    title = "Tenant missing"


def guard(engine: Engine) -> None:
    """Refuses, on this engine, statements that do not say whose rows they are about."""
    event.listen(engine, "before_cursor_execute", _before)


def _before(connection: Connection, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
    if context is None:  # a prepared statement, which is looked at where it is run (`core.prepared`)
        return
    compiled = context.compiled
    if hasattr(compiled, _CHECKED) or TENANT not in context.execution_options:
        return
    if compiled is None or compiled.statement is None:
        _check_text(statement)
    else:
        check(compiled.statement)
        setattr(compiled, _CHECKED, True)


def excused() -> bool:
    """Whether whoever asks may look at all tenants' rows: nobody, but tests that count what is stored."""
    return False


def check(element: Any) -> None:
    """Refuses a statement that names tenant-owned tables without saying whose rows.

    Raises:
        TenantMissingError: it does; the message names the tables.
    """
    loose = sorted(set(unbound(element)))
    if loose and not excused():
        raise TenantMissingError(
            f"a statement over {', '.join(loose)} names no tenant: add tenant_id, or open the session for all tenants"
        )


def unbound(element: Any) -> Iterator[str]:
    """Names of tenant-owned tables in a statement that are bound to no tenant and no row."""
    outer: set[int] = set()
    for part in visitors.iterate(element):
        if isinstance(part, Select):
            found = _Parts(_froms(part), part.whereclause, outer)
        elif isinstance(part, (Update, Delete)):
            found = _Parts([part.table], part.whereclause, outer)
        else:
            continue
        outer |= found.tables
        yield from found.loose()


def _froms(part: Select[*tuple[Any, ...]]) -> Sequence[Any]:
    """As `part.get_final_froms()`, which first compiles the whole part: half a second for all parts of a large one."""
    state: Any = part._compile_state_factory(part, SQLCompiler(_DIALECT, None))  # noqa: SLF001 - as that does
    froms: Sequence[Any] = state._get_display_froms()  # noqa: SLF001
    return froms


class _Parts:
    """The tables of one SELECT, UPDATE or DELETE and the conditions that must all hold.

    A subquery that compares with tables of the statement around it is told without that statement, and so seems to
    read those itself: `outer` are the tables around it, of which it must not be the only reader.
    """

    def __init__(self, froms: Sequence[Any], where: Any, outer: set[int]) -> None:
        self._tables: dict[int, Any] = {}
        self._conditions = list(_conjuncts(where))
        plain = {hash(one) for one in froms if not isinstance(one, Join)}
        self._correlated = plain & outer if len(froms) > 1 else set()
        for one in froms:
            self._take(one)

    @property
    def tables(self) -> set[int]:
        """The tables, by hash."""
        return set(self._tables)

    def _take(self, one: Any) -> None:
        if isinstance(one, Join):
            self._take(one.left)
            self._take(one.right)
            self._conditions += _conjuncts(one.onclause)
        else:
            self._tables[hash(one)] = one

    def loose(self) -> Iterator[str]:
        """Names of owned tables from which no chain of references leads to a tenant or a given row."""
        bound = {key for key in self._tables if any(self._given(key, one) for one in self._conditions)}
        bound |= self._correlated | {key for key, one in self._tables.items() if _is_looked_at_itself(one)}
        ties = [tie for one in self._conditions for tie in self._tie(one)]
        while more := {other for tie in ties for other in tie if tie & bound} - bound:
            bound |= more
        for key, table in self._tables.items():
            owned = _owned(table)
            if owned is not None and key not in bound:
                yield owned.name

    def _given(self, table: int, condition: Any) -> bool:
        """Whether a condition takes rows of a table by tenant, by internal id, or by rows found elsewhere."""
        if isinstance(condition, BooleanClauseList) and condition.operator is operators.or_:
            return all(any(self._given(table, one) for one in _conjuncts(arm)) for arm in condition.clauses)
        if isinstance(condition, Grouping):
            return self._given(table, condition.element)
        sides = _sides(condition)
        return any(
            _table_of(one) == table and _refers(one) and _table_of(other) not in self._tables for one, other in sides
        )

    def _tie(self, condition: Any) -> Iterator[set[int]]:
        for one, other in _sides(condition):
            pair = {_table_of(one), _table_of(other)}
            if len(pair) == 2 and pair <= self._tables.keys() and _refers(one):
                yield {key for key in pair if key is not None}


def _sides(condition: Any) -> list[tuple[Any, Any]]:
    """Both sides of an equality or membership (`core.prepared.among` too), each way round."""
    if isinstance(condition, FunctionElement) and condition.name == "among":
        column, ids = condition.clauses
        return [(column, ids), (ids, column)]
    if not isinstance(condition, BinaryExpression) or condition.operator not in _TYING:
        return []
    left = [*condition.left.clauses] if isinstance(condition.left, Tuple) else [condition.left]
    return [pair for one in left for pair in ((one, condition.right), (condition.right, one))]


def _table_of(side: Any) -> int | None:
    return hash(side.table) if isinstance(side, ColumnClause) and side.table is not None else None


def _refers(column: Any) -> bool:
    """Whether a column is a tenant's id or another internal id, which nobody outside can name."""
    return isinstance(column.type, Integer) and (column.name == "id" or column.name.endswith("_id"))


def _is_looked_at_itself(table: Any) -> bool:
    """Whether it is a subquery or a common table expression, whose own parts must be bound."""
    return isinstance(table, AliasedReturnsRows) and not isinstance(table.element, Table)


def _owned(table: Any) -> Table | None:
    """The tenant-owned table that this is, or is another name of."""
    named = table.element if isinstance(table, Alias) else table
    return named if isinstance(named, Table) and "tenant_id" in named.c else None


def _conjuncts(where: Any) -> Iterator[Any]:
    if isinstance(where, Grouping):
        yield from _conjuncts(where.element)
    elif isinstance(where, BooleanClauseList) and where.operator is operators.and_:
        for one in where.clauses:
            yield from _conjuncts(one)
    elif where is not None:
        yield where


@lru_cache(maxsize=4096)
def _check_text(statement: str) -> None:
    """A statement given as text is not understood; one that names an owned table must at least name tenants or ids.

    Raises:
        TenantMissingError: it does neither.
    """
    named = set(_WORD.findall(statement.lower()))
    if named & _owned_names() and not named & {"tenant_id", "pragma", "create", "alter", "drop", "analyze"}:
        raise TenantMissingError("a statement given as text names tenant-owned tables and no tenant_id; add it")


@lru_cache(maxsize=1)
def _owned_names() -> frozenset[str]:
    from core.tables import Base  # the tables know nothing of this module, and are loaded where it is used

    return frozenset(name for name, table in Base.metadata.tables.items() if "tenant_id" in table.c)
