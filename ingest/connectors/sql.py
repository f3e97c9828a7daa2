"""Rows of a SQL database as documents, with access from the rows themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any, ClassVar

from core.errors import InvalidError
from ingest.connectors.sql_config import SecretRef, SqlConfig
from ingest.connectors.sql_engine import ReadOnlyDatabase
from ingest.connectors.sql_rows import Row, TableRows, open_rows
from ingest.connectors.sql_values import decode_key, encode_key, row_access
from ingest.model import (
    Change,
    Checkpoint,
    ConnectorConfig,
    ConnectorContext,
    Content,
    Element,
    EmptyError,
    ItemError,
    ItemRef,
    JsonObject,
    NodeChange,
    Problem,
    SourceError,
    Upsert,
    VanishedError,
)
from policies.model import CLOSED, AccessSpec

MAX_ID_BYTES = 2000


class SqlConnector:
    """Lists tables in pages of their key's order and reads single rows, never in a transaction that can write."""

    name: ClassVar[str] = "sql"
    title: ClassVar[str] = "SQL database"
    summary: ClassVar[str] = "Rows of SQLite or PostgreSQL tables, with access from columns of the row."
    Config: ClassVar[type[ConnectorConfig]] = SqlConfig

    def __init__(self, config: SqlConfig, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        self._database = ReadOnlyDatabase(_url(config, context), context.base, config.timeout_s)
        self._tables: dict[str, TableRows] = {}
        self._lock = threading.Lock()

    def check(self) -> None:
        """Connects and looks up every table and column.

        Raises:
            SourceError: the database cannot be reached, or lacks what the configuration names.
        """
        self._open_tables()

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Every table and row; an unfinished cursor resumes after the row it names, a finished one lists again.

        Raises:
            SourceError: as of `check`, or a statement failed or took too long.
        """
        tables = list(self._open_tables().values())
        yield NodeChange("", None, "Database", replace(self._context.root_access, mode="break"))
        started = cursor if cursor and cursor.get("config") == self._config.fingerprint and "table" in cursor else {}
        names = [rows.config.name for rows in tables]
        first = names.index(started["table"]) if started else 0
        for rows in tables[first:]:
            name = rows.config.name
            yield NodeChange(name, "", name, AccessSpec())
            yield from self._table(rows, started["after"] if started.get("table") == name else None)
        yield Checkpoint({"done": True}, complete=True)

    def fetch(self, item: ItemRef) -> Content:
        """The row as it was listed.

        Raises:
            VanishedError: it is gone.
            EmptyError: it says nothing.
            ItemError: `item_changed` (transient): it is not the one listed, and its access may have changed too;
                `key_not_unique`; `row_too_large`; `row_unreadable` (transient).
        """
        try:
            rows, row = self._row(item)
        except SourceError as error:
            raise ItemError("row_unreadable", f"{item.id}: {error.detail}", transient=True) from error
        if rows.version(row) != item.version:
            raise ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
        text = rows.text(row)
        if not text:
            raise EmptyError(f"{item.id} says nothing")
        if len(text.encode("utf-8", "replace")) > self._context.max_bytes:
            raise ItemError("row_too_large", f"{item.id} is above the limit of {self._context.max_bytes} bytes")
        return Content(
            name=item.id,
            elements=(Element("text", text),),
            title=rows.title(row),
            modified_at=item.modified_at,
            attributes={"table": rows.config.name},
        )

    def close(self) -> None:
        """Closes the connections."""
        self._database.close()

    def _open_tables(self) -> dict[str, TableRows]:
        with self._lock:
            if not self._tables:
                with self._database.reading("reading the tables' columns") as connection:
                    self._tables = {table.name: open_rows(table, connection) for table in self._config.tables}
            return self._tables

    def _table(self, rows: TableRows, after: list[Any] | None) -> Iterator[Change]:
        name = rows.config.name
        if after is None:
            yield from self._keyless(rows)
        start = None if after is None else decode_key(after)
        while True:
            with self._database.reading(f"listing {name!r}") as connection:
                page = rows.page(connection, start, self._config.batch + 1)
            yield from _page(rows, page, self._config.batch)
            taken = page[: self._config.batch]
            if taken:
                start = rows.key(taken[-1])
                cursor = {"table": name, "after": encode_key(start), "config": self._config.fingerprint}
                yield Checkpoint(cursor)
            if len(page) <= self._config.batch:
                return

    def _keyless(self, rows: TableRows) -> Iterator[Change]:
        name = rows.config.name
        with self._database.reading(f"listing {name!r}") as connection:
            count = rows.without_key(connection)
        if count:
            yield Problem(f"{name}/#null", "key_missing", f"{name}: {count} rows without a key are left out")

    def _row(self, item: ItemRef) -> tuple[TableRows, Row]:
        rows = self._open_tables().get(str(item.data.get("table")))
        if rows is None:
            raise VanishedError(f"{item.id} is of a table that is not configured any more")
        with self._database.reading(f"reading {item.id!r}") as connection:
            found = rows.rows(connection, decode_key(item.data["key"]))
        if not found:
            raise VanishedError(f"{item.id} is gone")
        if len(found) > 1:
            raise ItemError("key_not_unique", f"{item.id} names more than one row")
        return rows, found[0]


def _page(rows: TableRows, page: list[Row], batch: int) -> Iterator[Change]:
    """The rows of a page; one more than `batch` shows whether the last key stands once."""
    position = 0
    for item_id, same in groupby(page, key=rows.item_id):
        group = list(same)
        if position < batch:
            yield from _group(rows, item_id, group)
        position += len(group)


def _group(rows: TableRows, item_id: str, group: list[Row]) -> Iterator[Change]:
    if len(group) > 1:
        yield Problem(item_id, "key_not_unique", f"{item_id}: the key names more than one row")
        return
    if len(item_id.encode("utf-8", "replace")) > MAX_ID_BYTES:
        short = item_id[:200]
        yield Problem(short, "key_too_long", f"{short}…: the key is longer than {MAX_ID_BYTES} bytes")
        return
    row = group[0]
    try:
        access = row_access(rows.config, row)
    except InvalidError as error:
        access = CLOSED
        yield Problem(item_id, "access_malformed", f"{item_id}: {error.detail}; nobody can read the row")
    yield Upsert(_item(rows, item_id, row, access))


def _item(rows: TableRows, item_id: str, row: Row, access: AccessSpec | None) -> ItemRef:
    name = rows.config.name
    changed = row[rows.config.version] if rows.config.version else None
    return ItemRef(
        id=item_id,
        node=name,
        title=rows.title(row),
        uri=f"sql:{item_id}",
        version=rows.version(row),
        modified_at=changed if isinstance(changed, datetime) and changed.tzinfo else None,
        access=access,
        data={"table": name, "key": encode_key(rows.key(row))},
    )


def _url(config: SqlConfig, context: ConnectorContext) -> str:
    if not isinstance(config.url, SecretRef):
        return config.url
    name = config.url.secret
    if name not in context.secrets:
        raise InvalidError(f"config.url: there is no secret {name!r}")
    return context.secrets[name]
