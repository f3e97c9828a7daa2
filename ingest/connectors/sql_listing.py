"""The rows of a page as changes: one document a row, one more for each group of restricted columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby

from core.errors import InvalidError
from ingest.connectors.sql_config import RestrictedColumns, TableConfig
from ingest.connectors.sql_grants import Grants, Key
from ingest.connectors.sql_rows import Row, TableRows
from ingest.connectors.sql_values import Granted, encode_key, row_access
from ingest.model import AccessChange, Change, ItemRef, NodeChange, Problem, Upsert
from policies.model import CLOSED, AccessSpec, Entry

MAX_ID_BYTES = 2000
RANKS = ("public", "internal", "confidential", "restricted")
"""The classifications whose order is known here; an admin's own order is not."""


class PageChanges:
    """Turns one page of rows into changes; `granted` holds what the grants table says of them.

    `access_only`: the rows hold no content, and their access alone is told.
    """

    def __init__(
        self, rows: TableRows, grants: Grants | None, granted: Mapping[Key, Granted], *, access_only: bool = False
    ) -> None:
        self._rows, self._grants, self._granted = rows, grants, granted
        self._table, self._access_only = rows.config, access_only

    def changes(self, page: list[Row], batch: int) -> Iterator[Change]:
        """The rows of a page; one more than `batch` shows whether the last key stands once."""
        position = 0
        for item_id, same in groupby(page, key=self._rows.item_id):
            group = list(same)
            if position < batch:
                yield from self._group(item_id, group)
            position += len(group)

    def _group(self, item_id: str, group: list[Row]) -> Iterator[Change]:
        refusal = _refusal(item_id, group)
        if refusal:
            if not self._access_only:
                yield refusal
            return
        row = group[0]
        try:
            access = row_access(self._table, row, self._grant(row))
        except InvalidError as error:
            access = CLOSED
            yield Problem(item_id, "access_malformed", f"{item_id}: {error.detail}; nobody can read the row")
        yield self._one(item_id, row, access)
        for apart in self._table.restricted:
            yield from self._restricted(item_id, row, access, apart)

    def _grant(self, row: Row) -> Granted | None:
        if self._grants is None:
            return None
        return self._granted.get(self._grants.key(row), Granted())

    def _restricted(
        self, item_id: str, row: Row, access: AccessSpec | None, apart: RestrictedColumns
    ) -> Iterator[Change]:
        """Fewer people, never others: whoever reads these columns may read the row too."""
        own = _narrowed(access, apart)
        node = self._table.name
        if apart.allow and access is not None:
            node = item_id
            yield NodeChange(node, self._table.name, self._rows.title(row), access)
        if own.closed and access != CLOSED:
            yield Problem(
                f"{item_id}/{apart.name}",
                "access_malformed",
                f"{item_id}/{apart.name}: its classification and the row's are not both of {', '.join(RANKS)}",
            )
        yield self._one(item_id, row, own, apart, node)

    def _one(
        self,
        item_id: str,
        row: Row,
        access: AccessSpec | None,
        apart: RestrictedColumns | None = None,
        node: str | None = None,
    ) -> Change:
        if not self._access_only:
            return Upsert(self._item(item_id, row, access, apart, node))
        # Only content tells the version of a table without a column for it, and a crawl of access reads none.
        version = self._rows.version(row, apart) if self._table.changed else None
        return AccessChange(_id(item_id, apart), node or self._table.name, version, access)

    def _item(
        self,
        item_id: str,
        row: Row,
        access: AccessSpec | None,
        apart: RestrictedColumns | None = None,
        node: str | None = None,
    ) -> ItemRef:
        table = self._table
        changed = row[table.changed] if table.changed else None
        title, data = self._rows.title(row), {"table": table.name, "key": encode_key(self._rows.key(row))}
        return ItemRef(
            id=_id(item_id, apart),
            node=node or table.name,
            title=f"{title} ({apart.name})" if apart else title,
            uri=f"sql:{item_id}",
            version=self._rows.version(row, apart),
            modified_at=changed if isinstance(changed, datetime) and changed.tzinfo else None,
            access=access,
            data={**data, "columns": apart.name} if apart else data,
        )


def _refusal(item_id: str, group: list[Row]) -> Problem | None:
    """Why the rows of one key cannot be taken, if so."""
    if len(group) > 1:
        return Problem(item_id, "key_not_unique", f"{item_id}: the key names more than one row")
    if len(item_id.encode("utf-8", "replace")) > MAX_ID_BYTES:
        short = item_id[:200]
        return Problem(short, "key_too_long", f"{short}…: the key is longer than {MAX_ID_BYTES} bytes")
    return None


def _id(item_id: str, apart: RestrictedColumns | None) -> str:
    return f"{item_id}/{apart.name}" if apart else item_id


def _narrowed(access: AccessSpec | None, apart: RestrictedColumns) -> AccessSpec:
    """The row's access with what the restricted columns add: their readers, of those of the row, and their label."""
    row = access or AccessSpec()
    if row.closed:
        return CLOSED
    try:
        labels = {**row.labels, **_label(row, apart)}
    except InvalidError:
        return CLOSED
    if not apart.allow:
        return AccessSpec(row.mode, row.entries, labels)
    return AccessSpec("narrow", frozenset(Entry(one, "allow") for one in apart.allow), labels)


def _label(row: AccessSpec, apart: RestrictedColumns) -> dict[str, str]:
    """The higher of both classifications."""
    mine, theirs = apart.classification, row.labels.get("classification")
    if mine is None:
        return {}
    if theirs is None or theirs == mine:
        return {"classification": mine}
    if mine not in RANKS or theirs not in RANKS:
        raise InvalidError("the order of the classifications is not known")
    return {"classification": max(mine, theirs, key=RANKS.index)}


def columns_of(table: TableConfig, item: ItemRef) -> RestrictedColumns | None:
    """The restricted columns that a document is made of; None: it is a row's own."""
    name = item.data.get("columns")
    return table.restriction(str(name)) if name is not None else None
