"""Every stored value that names something: found, and struck where it is ours to change.

Columns are taken from the schema itself, so that one which is added is looked at without being listed here. Three kinds
are left as they are and told: what documents and sources say, what an administrator wrote that decides or connects,
and sealed values, which cannot be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    LargeBinary,
    RowMapping,
    String,
    Table,
    Text,
    cast,
    false,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from core.audit import SEALED, Audit
from core.names import Names
from core.row_security import PARENTS
from core.tables import AuditEntry, Base, IdempotencyKey

CONTENT = frozenset(
    {
        "acl_node.key", "acl_node.title", "chunk.context", "chunk.text", "document.external_id",
        "document_version.attributes", "document_version.author", "document_version.title", "document_version.uri",
        "facet.value", "item.external_id", "item.payload", "run.checkpoint", "source.access_cursor", "source.cursor",
        "upload.external_id", "version_chunk.heading",
    }
)  # fmt: skip
"""What documents and sources say. It changes when they do, or when they are erased."""
WRITTEN = frozenset(
    {
        "app.acts_for", "config_object.body", "directory.config", "policy.condition", "source.access", "source.base",
        "source.config",
    }
)  # fmt: skip
"""What an administrator wrote and must change: a rule without a name in it would be another rule."""
ANYTHING = frozenset(
    {
        "config_object.body", "directory.config", "source.base", "source.config", "source.schedule",
        "state_history.state", "user.attributes", "user.stated",
    }
)  # fmt: skip
"""Where an id that stands alone may be anything, a team or a branch: it is told and stays. Other names are not."""
SEALED_VALUES = frozenset({"approval.request", "erasure.names", "secret.sealed"})
_BATCH = 500


@dataclass(slots=True)
class Found:
    """How many values name something, by column; how many may, since its id stands there alone; and the ids of
    documents that do.
    """

    columns: Counter[str] = field(default_factory=Counter)
    maybe: Counter[str] = field(default_factory=Counter)
    documents: set[int] = field(default_factory=set)

    def of(self, names: frozenset[str]) -> dict[str, int]:
        """The counts of some columns."""
        return {name: count for name, count in sorted(self.columns.items()) if name in names}

    def beside(self, names: frozenset[str]) -> dict[str, int]:
        """The counts of all other columns."""
        return {name: count for name, count in sorted(self.columns.items()) if name not in names}


def searched(table: Table) -> list[Column[Any]]:
    """The columns of a table that may hold a name."""
    return [
        column
        for column in table.c
        if isinstance(column.type, (String, JSON)) and f"{table.name}.{column.name}" not in SEALED_VALUES
    ]


def tables() -> list[Table]:
    """The tables that belong to tenants and may hold a name."""
    return [one for one in Base.metadata.sorted_tables if _belongs(one) and searched(one)]


def find(session: Session, tenant: int, names: Names) -> Found:
    """Looks at every stored value of a tenant."""
    found = Found()
    for table in tables():
        for row in _rows(session, tenant, table, names):
            hits = {f"{table.name}.{name}" for name in _struck(table, row, names)}
            found.columns.update(hits)
            found.maybe.update(f"{table.name}.{name}" for name in _maybe(table, row, names))
            document = row.get("id") if table.name == "document" else row.get("document_id")
            if document is not None and hits & CONTENT:
                found.documents.add(document)
    return found


def struck_tables() -> list[Table]:
    """The tables in which something may be struck."""
    kept = CONTENT | WRITTEN
    return [one for one in tables() if any(f"{one.name}.{column.name}" not in kept for column in searched(one))]


def strike(
    session: Session, tenant: int, audit: Audit, names: Names, *, table: Table, after: int = 0
) -> tuple[Counter[str], int | None]:
    """Puts the token in the stead of every name that may be changed, in the next few rows of a table.

    Returns how many values that were, by column, and the id to go on `after`; None: the table is done.
    """
    struck: Counter[str] = Counter()
    numbered = [column.name for column in table.primary_key] == ["id"]
    last = None
    for count, row in enumerate(_rows(session, tenant, table, names, after if numbered else None)):
        if numbered and count == _BATCH:
            return struck, last
        last = row["id"] if numbered else None
        told = _struck(table, row, names)
        changed = {name: one for name, one in told.items() if f"{table.name}.{name}" not in CONTENT | WRITTEN}
        if not changed:
            continue
        struck.update(f"{table.name}.{name}" for name in changed)
        if table.name == AuditEntry.__tablename__:
            changed["redaction"] = audit.redaction(row["mac"], {name: row[name] for name in SEALED} | changed)
        if table.name == IdempotencyKey.__tablename__ and "key" in changed:
            changed["key"] = f"{row['id']}-{changed['key']}"  # two that name it would become one
        where = [column == row[column.name] for column in table.primary_key]
        session.execute(update(table).where(*where).values(changed))
    return struck, None


def _struck(table: Table, row: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The columns that name it, each as it would be without the name."""
    said = names.said
    values = {
        one.name: (said if f"{table.name}.{one.name}" in ANYTHING else names).strike(row[one.name], _at(one))
        for one in searched(table)
    }
    return {name: value for name, value in values.items() if value != row[name]}


def _maybe(table: Table, row: Mapping[str, Any], names: Names) -> list[str]:
    """The columns in which its id stands alone and may mean something else."""
    loose = [one for one in searched(table) if f"{table.name}.{one.name}" in ANYTHING]
    return [
        one.name for one in loose if names.strike(row[one.name], _at(one)) != names.said.strike(row[one.name], _at(one))
    ]


def _at(column: Column[Any]) -> str:
    """A plain column's key names something of its own table; a person's are struck by who knows them."""
    return "kind" if not isinstance(column.type, JSON) else column.name


def _rows(
    session: Session, tenant: int, table: Table, names: Names, after: int | None = None
) -> Iterator[dict[str, Any]]:
    """Rows that may name it, whole but for what is binary; `after` an id: the next few alone, read at once and locked,
    since two erasures may strike one row.
    """
    columns = [one for one in table.c if not isinstance(one.type, LargeBinary) or one.name == "mac"]
    told = or_(false(), *(_holds(column, probe) for column in searched(table) for probe in sorted(names.probes)))
    statement = select(*columns).where(_mine(table, tenant), told).order_by(*table.primary_key)
    if after is None:
        found: Iterable[RowMapping] = session.execute(statement.execution_options(yield_per=_BATCH)).mappings()
    else:
        found = (
            session.execute(statement.where(table.c.id > after).limit(_BATCH + 1).with_for_update()).mappings().all()
        )
    yield from map(dict, found)


def _holds(column: Column[Any], probe: str) -> ColumnElement[bool]:
    return func.lower(cast(column, Text)).contains(probe, autoescape=True)


def _belongs(table: Table) -> bool:
    return "tenant_id" in table.c or table.name in PARENTS


def _mine(table: Table, tenant: int) -> ColumnElement[bool]:
    if "tenant_id" in table.c:
        return table.c.tenant_id == tenant
    column, parent = PARENTS[table.name]
    owner = Base.metadata.tables[parent]
    return table.c[column].in_(select(owner.c.id).where(owner.c.tenant_id == tenant))
