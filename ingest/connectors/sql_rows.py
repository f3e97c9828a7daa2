"""One table, view or query as the connector reads it: pages in key order, single rows, and what a row says."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    MetaData,
    Select,
    Table,
    and_,
    column,
    false,
    func,
    inspect,
    literal,
    literal_column,
    or_,
    select,
    text,
    tuple_,
)

from ingest.connectors.sql_config import RestrictedColumns, TableConfig, fill, template_columns
from ingest.connectors.sql_values import as_text, id_part
from ingest.model import SourceError

Row: TypeAlias = Mapping[str, Any]


class TableRows:
    """Reads the rows of one configured table."""

    def __init__(self, config: TableConfig, source: FromClause) -> None:
        self.config = config
        self._source = source
        named = [
            *config.keys,
            *config.rules,
            *config.joined,
            *sorted(config.apart),
            *template_columns(config.title),
            *template_columns(config.text or ""),
        ]
        for name in [*named, *(config.columns or []), *config.exclude, *_given(config.version, config.cursor)]:
            if name not in source.c:
                raise SourceError(f"{config.name} has no column {name!r}; it has {', '.join(source.c.keys())}")
        self._shown = self._shown_columns()

    def page(
        self,
        connection: Connection,
        after: Sequence[Any] | None,
        limit: int,
        *,
        since: Any = None,
        access_only: bool = False,
    ) -> list[Row]:
        """At most `limit` rows with keys above `after`, in key order, with what a listing needs.

        `since`: only rows whose cursor column is at or above it, or not set. `access_only`: only what access needs.
        """
        keys = self._keys()
        names = self._access_listed() if access_only else self._listed()
        query = self._select(names).where(and_(*(key.is_not(None) for key in keys)))
        if after is not None:
            query = query.where(_above(keys, after))
        if since is not None:
            cursor = self._source.c[self.config.cursor or ""]
            query = query.where(or_(cursor >= literal(since, cursor.type), cursor.is_(None)))
        return _all(connection, query.order_by(*keys).limit(limit))

    def highest(self, connection: Connection) -> Any:
        """The highest value of the cursor column; None where there is none."""
        if self.config.cursor is None:
            return None
        return connection.execute(select(func.max(self._source.c[self.config.cursor]))).scalar_one()

    def rows(self, connection: Connection, key: Sequence[Any]) -> list[Row]:
        """The rows with this key with all that is shown; two at most, since a second one is an error."""
        same = and_(*(one == value for one, value in zip(self._keys(), key, strict=True)))
        return _all(connection, self._select(self._fetched()).where(same).limit(2))

    def without_key(self, connection: Connection) -> int:
        """How many rows have NULL in their key."""
        keys = [key for key in self._keys() if getattr(key, "nullable", True)]
        if not keys:
            return 0
        query = select(func.count()).select_from(self._source).where(or_(*(key.is_(None) for key in keys)))
        return int(connection.execute(query).scalar_one())

    def key(self, row: Row) -> list[Any]:
        """The values of a row's key."""
        return [row[name] for name in self.config.keys]

    def item_id(self, row: Row) -> str:
        """`table/key`, a part for each column of the key."""
        return "/".join([self.config.name, *map(id_part, self.key(row))])

    @property
    def columns(self) -> list[str]:
        """The columns that everybody who reads a row is shown, and its key."""
        return [one for one in self._source.c.keys() if one in {*self._shown, *self.config.keys}]  # noqa: SIM118

    def title(self, row: Row) -> str:
        """The row's title; its id where the template gives nothing."""
        names = template_columns(self.config.title)
        filled = fill(self.config.title, {name: as_text(row[name]) for name in names})
        return " ".join(filled.split()) or self.item_id(row)

    def text(self, row: Row, apart: RestrictedColumns | None = None) -> str:
        """What the row says, or what its restricted columns do."""
        if self.config.text is not None and apart is None:
            names = template_columns(self.config.text)
            return fill(self.config.text, {name: as_text(row[name]) for name in names}).strip()
        lines = [(name, as_text(row[name])) for name in (apart.columns if apart else self._shown)]
        return "\n".join(f"{name}: {value}" for name, value in lines if value.strip())

    def version(self, row: Row, apart: RestrictedColumns | None = None) -> str | None:
        """Changes when the row's content, or what the configuration makes of it, does; None: unknown."""
        if self.config.changed is None:
            return f"{self._hash(row, self._content(apart))}-{self.config.look}"
        value = row[self.config.changed]
        return None if value is None else f"{id_part(value)}-{self.config.look}"

    @staticmethod
    def _hash(row: Row, names: Sequence[str]) -> str:
        """Of the content alone: a row whose access changes has the same text as before."""
        values = [[name, type(row[name]).__name__, id_part(row[name])] for name in names]
        return hashlib.blake2b(json.dumps(values).encode(), digest_size=16).hexdigest()

    def _keys(self) -> list[ColumnElement[Any]]:
        return [self._source.c[name] for name in self.config.keys]

    def _select(self, names: Sequence[str]) -> Select[Any]:
        return select(*(self._source.c[name] for name in names))

    def _shown_columns(self) -> list[str]:
        hidden = {*self.config.rules, *self.config.exclude, *self.config.apart, self.config.version, self.config.cursor}
        every = self.config.columns or self._source.c.keys()
        return [name for name in every if name not in hidden]

    def _content(self, apart: RestrictedColumns | None = None) -> list[str]:
        if apart is not None:
            return _once([*template_columns(self.config.title), *apart.columns])
        template = self.config.text
        body = self._shown if template is None else template_columns(template)
        return _once([*template_columns(self.config.title), *body])

    def _listed(self) -> list[str]:
        content = [] if self.config.changed else [*self._content(), *sorted(self.config.apart)]
        return _once([*self._access_listed(), *template_columns(self.config.title), *content])

    def _access_listed(self) -> list[str]:
        """What tells a row's access apart from its content; a row with places below it has a title too."""
        titles = template_columns(self.config.title) if any(one.allow for one in self.config.restricted) else []
        return _once(
            [*self.config.keys, *titles, *self.config.rules, *self.config.joined, *_given(self.config.changed)]
        )

    def _fetched(self) -> list[str]:
        changed = _given(self.config.changed)
        return _once([*self.config.keys, *self._content(), *sorted(self.config.apart), *changed])


def open_rows(config: TableConfig, connection: Connection) -> TableRows:
    """The rows of a configured table, its columns read from the database.

    Raises:
        SourceError: the table or a column does not exist; the message names it.
    """
    return TableRows(config, open_query(config.name, config.query, connection))


def open_query(name: str, query: str | None, connection: Connection) -> FromClause:
    """A table, or what a query gives, with its columns.

    Raises:
        SourceError: it does not exist.
    """
    return _query(name, query, connection) if query else _table(name, connection)


def _table(full: str, connection: Connection) -> FromClause:
    schema, _, name = full.rpartition(".")
    if not inspect(connection).has_table(name, schema=schema or None):
        raise SourceError(f"table {full!r} does not exist or may not be read")
    return Table(name, MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False)


def _query(name: str, query: str, connection: Connection) -> FromClause:
    # A colon before a word would be read as a parameter.
    body = re.sub(r":(?=\w)", r"\:", query.strip().rstrip(";"))
    listed = text(f"({body}\n) listed")
    names = list(connection.execute(select(literal_column("*")).select_from(listed).where(false())).keys())
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise SourceError(f"the query of {name!r} gives two columns the name {twice[0]!r}")
    return text(body).columns(*(column(one) for one in names)).subquery("listed")


def _all(connection: Connection, query: Select[Any]) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in connection.execute(query).mappings()]


def _above(keys: Sequence[ColumnElement[Any]], after: Sequence[Any]) -> ColumnElement[bool]:
    bound = [literal(value, key.type) for key, value in zip(keys, after, strict=True)]
    if len(keys) == 1:
        return keys[0] > bound[0]
    return tuple_(*keys) > tuple_(*bound)


def _once(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _given(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]
