"""What a table holds, as a document: so that a question about the data's shape finds the right table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import SQLAlchemyError

from ingest.connectors.sql_config import SCHEMA, TableConfig
from ingest.connectors.sql_rows import TableRows
from ingest.model import Element, ItemRef


def schema_id(table: TableConfig) -> str:
    """The id of a table's schema document."""
    return f"{SCHEMA}/{table.name}"


def describe_table(rows: TableRows, connection: Connection) -> tuple[Element, ...]:
    """A table's columns, keys and comments; no value of any row, and no column that is hidden or restricted."""
    table = rows.config
    lines = [f"Table {table.name}", *([table.description] if table.description else [])]
    shown = rows.columns
    if table.query is not None:
        body = "\n".join(shown)
    else:
        schema, _, name = table.name.rpartition(".")
        lines += _comment(connection, name, schema or None)
        body = "\n".join(_columns(connection, name, schema or None, shown))
    lines.append(f"Key: {', '.join(table.keys)}")
    references = [] if table.query else _references(connection, table.name, shown)
    return (
        Element("heading", f"Columns of {table.name}", level=1),
        Element("text", "\n".join(lines)),
        Element("table", body, header="column | type | note"),
        *([Element("text", "\n".join(references))] if references else []),
    )


def schema_item(table: TableConfig, elements: Sequence[Element]) -> ItemRef:
    """The schema document as a listing shows it; the table's access holds for it."""
    text = "\n".join(element.text for element in elements)
    return ItemRef(
        id=schema_id(table),
        node=table.name,
        title=f"Table {table.name}",
        uri=f"sql:{schema_id(table)}",
        version=hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        data={"schema": table.name},
    )


def _comment(connection: Connection, name: str, schema: str | None) -> list[str]:
    try:
        text = inspect(connection).get_table_comment(name, schema=schema)["text"]
    except (NotImplementedError, SQLAlchemyError):
        return []
    return [text] if text else []


def _columns(connection: Connection, name: str, schema: str | None, shown: Sequence[str]) -> list[str]:
    found = {one["name"]: one for one in inspect(connection).get_columns(name, schema=schema)}
    lines = []
    for column in shown:
        one = found[column]
        notes = [one.get("comment") or "", "" if one["nullable"] else "never empty"]
        lines.append(f"{column} | {one['type']} | {'; '.join(note for note in notes if note)}")
    return lines


def _references(connection: Connection, full: str, shown: Sequence[str]) -> list[str]:
    schema, _, name = full.rpartition(".")
    keys = inspect(connection).get_foreign_keys(name, schema=schema or None)
    return [
        f"{', '.join(one['constrained_columns'])} refers to {one['referred_table']}"
        f" ({', '.join(one['referred_columns'])})"
        for one in keys
        if set(one["constrained_columns"]) <= set(shown)
    ]
