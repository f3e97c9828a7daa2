"""A grants table joined to rows: who may read each row of a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection, FromClause, select, tuple_

from core.errors import InvalidError
from ingest.connectors.sql_config import GrantsConfig, TableConfig
from ingest.connectors.sql_rows import Row, open_query
from ingest.connectors.sql_values import Granted
from ingest.model import SourceError
from policies.model import check_principal

ROWS_AT_ONCE = 500
"""Rows whose grants one statement looks up; databases limit its parameters."""
Key: TypeAlias = tuple[Any, ...]


class Grants:
    """Looks up the grants of rows."""

    def __init__(self, config: GrantsConfig, source: FromClause) -> None:
        self._config = config
        self._source = source
        self._effects = [config.effect] if config.effect else []
        for name in [*config.on.values(), config.principal, *self._effects]:
            if name not in source.c:
                raise SourceError(f"the grants have no column {name!r}; they have {', '.join(source.c.keys())}")

    def of(self, connection: Connection, rows: Sequence[Row]) -> dict[Key, Granted]:
        """The grants of `rows`, by what `key` gives for each; a row without any is absent."""
        wanted = list(dict.fromkeys(key for key in map(self.key, rows) if None not in key))
        found: dict[Key, Granted] = {}
        for start in range(0, len(wanted), ROWS_AT_ONCE):
            for row in self._read(connection, wanted[start : start + ROWS_AT_ONCE]):
                key = tuple(row[name] for name in self._config.on.values())
                self._add(found.setdefault(key, Granted()), row)
        return found

    def key(self, row: Row) -> Key:
        """What a row's grants are found by."""
        return tuple(row[name] for name in self._config.on)

    def _read(self, connection: Connection, keys: Sequence[Key]) -> Iterable[Mapping[str, Any]]:
        columns = [self._source.c[name] for name in self._config.on.values()]
        names = dict.fromkeys([*self._config.on.values(), self._config.principal, *self._effects])
        same = columns[0].in_([key[0] for key in keys]) if len(columns) == 1 else tuple_(*columns).in_(keys)
        query = select(*(self._source.c[name] for name in names)).where(same)
        return [{str(name): value for name, value in row.items()} for row in connection.execute(query).mappings()]

    def _add(self, granted: Granted, row: Mapping[str, Any]) -> None:
        effect = str(row[self._config.effect]).strip().lower() if self._config.effect else "allow"
        try:
            principal = self._principal(row[self._config.principal])
            {"allow": granted.allow, "deny": granted.deny}[effect].add(principal)
        except (InvalidError, KeyError):
            granted.broken = True

    def _principal(self, value: Any) -> str:
        if value is None or isinstance(value, (bytes, bool, float)):
            raise InvalidError("a grant names nobody")
        text = str(value).strip()
        return check_principal(text if text == "everyone" and not self._config.prefix else self._config.prefix + text)


def open_grants(table: TableConfig, connection: Connection) -> Grants | None:
    """The grants of a configured table; None where it has none.

    Raises:
        SourceError: they or a column of them do not exist.
    """
    config = table.grants
    if config is None:
        return None
    return Grants(config, open_query(config.name or f"{table.name}: grants", config.query, connection))
