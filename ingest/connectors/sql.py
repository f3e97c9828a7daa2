"""Rows of a SQL database as documents, with access from the rows themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from ingest.connectors.http import secret_value
from ingest.connectors.sql_config import SqlConfig
from ingest.connectors.sql_engine import ReadOnlyDatabase
from ingest.connectors.sql_grants import Grants, Key, open_grants
from ingest.connectors.sql_listing import PageChanges, columns_of
from ingest.connectors.sql_progress import Progress, progress_of
from ingest.connectors.sql_rows import Row, TableRows, open_rows
from ingest.connectors.sql_schema import describe_table, schema_item
from ingest.connectors.sql_values import Granted, decode_key, encode_key
from ingest.model import (
    AccessChange,
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
from policies.model import AccessSpec


class SqlConnector:
    """Lists tables in pages of their key's order and reads single rows, never in a transaction that can write."""

    name: ClassVar[str] = "sql"
    title: ClassVar[str] = "SQL database"
    summary: ClassVar[str] = (
        "Rows of SQLite, PostgreSQL, MariaDB, MySQL and other tables, with access from the row or a grants table."
    )
    Config: ClassVar[type[ConnectorConfig]] = SqlConfig

    def __init__(self, config: SqlConfig, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        self._database = ReadOnlyDatabase(
            secret_value(config.url, context, "config.url"),
            context.base,
            config.timeout_s,
            only_reads=config.only_reads,
            own=context.own,
        )
        self._tables: dict[str, TableRows] = {}
        self._grants: dict[str, Grants | None] = {}
        self._lock = threading.Lock()

    def check(self) -> None:
        """Connects and looks up every table and column.

        Raises:
            SourceError: the database cannot be reached, or lacks what the configuration names.
        """
        self._open_tables()

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Every table and row, of a table with a cursor column those that changed; an unfinished listing resumes
        after the row it names.

        Raises:
            SourceError: as of `check`, or a statement failed or took too long.
        """
        yield from self._listing(progress_of(self._config, cursor), access_only=False)

    def permissions(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Every row's access; of the rows only keys and what states access is read.

        Raises:
            SourceError: as of `changes`.
        """
        resumed = cursor if cursor and "table" in cursor else None
        yield from self._listing(progress_of(self._config, resumed), access_only=True)

    def fetch(self, item: ItemRef) -> Content:
        """The row as it was listed.

        Raises:
            VanishedError: it is gone.
            EmptyError: it says nothing.
            ItemError: `item_changed` (transient): it is not the one listed, and its access may have changed too;
                `key_not_unique`; `row_too_large`; `row_unreadable` (transient).
        """
        if "schema" in item.data:
            return self._schema(item)
        try:
            rows, row = self._row(item)
        except SourceError as error:
            raise ItemError("row_unreadable", f"{item.id}: {error.detail}", transient=True) from error
        apart = columns_of(rows.config, item)
        if "columns" in item.data and apart is None:
            raise VanishedError(f"{item.id} is of columns that are not configured any more")
        if rows.version(row, apart) != item.version:
            raise ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
        text = rows.text(row, apart)
        if not text:
            raise EmptyError(f"{item.id} says nothing")
        if len(text.encode("utf-8", "replace")) > self._context.max_bytes:
            raise ItemError("row_too_large", f"{item.id} is above the limit of {self._context.max_bytes} bytes")
        return Content(
            name=item.id,
            elements=(Element("text", text),),
            title=f"{rows.title(row)} ({apart.name})" if apart else rows.title(row),
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
                    tables = self._config.tables
                    self._grants = {table.name: open_grants(table, connection) for table in tables}
                    self._tables = {table.name: open_rows(table, connection) for table in tables}
            return self._tables

    def _listing(self, at: Progress, *, access_only: bool) -> Iterator[Change]:
        tables = list(self._open_tables().values())
        yield NodeChange("", None, "Database", replace(self._context.root_access, mode="break"))
        names = [rows.config.name for rows in tables]
        for rows in tables[names.index(at.table) if at.table else 0 :]:
            yield NodeChange(rows.config.name, "", rows.config.name, AccessSpec())
            yield from self._table(rows, at, access_only=access_only)
        sees_access = all(not rows.config.states_access for rows in tables if rows.config.name in at.since)
        yield Checkpoint(at.end_point, complete=True, full=at.full and not access_only, access_complete=sees_access)

    def _table(self, rows: TableRows, at: Progress, *, access_only: bool) -> Iterator[Change]:
        name = rows.config.name
        if at.table != name:
            at.table, at.after = name, None
            yield from self._begun(rows, at, access_only=access_only)
        while True:
            page, granted = self._page(rows, at, access_only=access_only)
            pages = PageChanges(rows, self._grants[name], granted, access_only=access_only)
            yield from pages.changes(page, self._config.batch)
            taken = page[: self._config.batch]
            if taken:
                at.after = encode_key(rows.key(taken[-1]))
                yield Checkpoint(at.rest_point, full=at.full)
            if len(page) <= self._config.batch:
                return

    def _begun(self, rows: TableRows, at: Progress, *, access_only: bool) -> Iterator[Change]:
        """What is told of a table before its rows; how far its changes go is noted before any of them is read."""
        yield from self._described(rows, access_only=access_only)
        if access_only:
            return
        yield from self._keyless(rows)
        with self._database.reading(f"reading the highest cursor of {rows.config.name!r}") as connection:
            highest = rows.highest(connection)
        if highest is not None:
            at.latest[rows.config.name] = highest

    def _page(self, rows: TableRows, at: Progress, *, access_only: bool) -> tuple[list[Row], Mapping[Key, Granted]]:
        """One row more than a page takes, and the grants of its rows."""
        name, grants = rows.config.name, self._grants[rows.config.name]
        after = None if at.after is None else decode_key(at.after)
        with self._database.reading(f"listing {name!r}") as connection:
            page = rows.page(
                connection, after, self._config.batch + 1, since=at.since.get(name), access_only=access_only
            )
            return page, grants.of(connection, page) if grants else {}

    def _described(self, rows: TableRows, *, access_only: bool) -> Iterator[Change]:
        if self._config.schema_documents:
            item = schema_item(rows.config, self._description(rows))
            yield AccessChange(item.id, item.node, item.version) if access_only else Upsert(item)

    def _description(self, rows: TableRows) -> tuple[Element, ...]:
        with self._database.reading(f"reading the columns of {rows.config.name!r}") as connection:
            return describe_table(rows, connection)

    def _schema(self, item: ItemRef) -> Content:
        rows = self._open_tables().get(str(item.data["schema"]))
        if rows is None or not self._config.schema_documents:
            raise VanishedError(f"{item.id} is not configured any more")
        try:
            elements = self._description(rows)
        except SourceError as error:
            raise ItemError("row_unreadable", f"{item.id}: {error.detail}", transient=True) from error
        if schema_item(rows.config, elements).version != item.version:
            raise ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
        return Content(item.id, elements=elements, title=item.title, attributes={"table": rows.config.name})

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
