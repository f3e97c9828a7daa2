"""Values of a row: as text, as parts of an id, as plain JSON that leads back to the same row, and as access."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

from core.errors import InvalidError
from ingest.connectors.sql_config import TableConfig
from ingest.model import SourceError
from policies.model import AccessSpec, Mode, access_spec, check_principal

_UNSAFE = re.compile(r"[%/\x00-\x1f\x7f]")
_DRIVER_SCALE = -10
"""SQLAlchemy gives SQLite's NUMERIC ten decimals, whatever was stored."""
_DECODERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "bytes": bytes.fromhex,
        "date": date.fromisoformat,
        "datetime": datetime.fromisoformat,
        "Decimal": Decimal,
        "float": float,
        "time": time.fromisoformat,
        "UUID": UUID,
    }
)


def as_text(value: Any) -> str:
    """A value as a person reads it; nothing for NULL and for binary data."""
    if value is None or isinstance(value, (bytes, bytearray, memoryview)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal) and value.as_tuple().exponent == _DRIVER_SCALE:
        return f"{value.normalize():f}"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return str(value).replace("\x00", "")


def id_part(value: Any) -> str:
    """A key's value as part of an id: `/`, `%` and control characters are escaped."""
    text = bytes(value).hex() if isinstance(value, (bytes, bytearray, memoryview)) else as_text(value)
    if isinstance(value, str):
        text = value
    return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", text)


def encode_key(values: Sequence[Any]) -> list[Any]:
    """A key as plain JSON.

    Raises:
        SourceError: a value of a type that no key should have.
    """
    return [_encode(one) for one in values]


def decode_key(values: Sequence[Any]) -> list[Any]:
    """The key that `encode_key` wrote."""
    return [_DECODERS[one[0]](one[1]) if isinstance(one, list) else one for one in values]


def _encode(value: Any) -> Any:
    if isinstance(value, (int, str)):
        return value
    kind = type(value).__name__
    if kind not in _DECODERS:
        raise SourceError(f"a key or cursor of type {kind} is not supported")
    if isinstance(value, bytes):
        return [kind, value.hex()]
    return [kind, repr(value) if isinstance(value, float) else as_text(value)]


@dataclass(slots=True)
class Granted:
    """Who is granted and denied one row; `broken`: a grant of it cannot be understood."""

    allow: set[str] = field(default_factory=set)
    deny: set[str] = field(default_factory=set)
    broken: bool = False


def row_access(table: TableConfig, row: Mapping[str, Any], granted: Granted | None = None) -> AccessSpec | None:
    """The access a row states; None: its table's. `granted`: what a grants table says of it, None: there is none.

    Raises:
        InvalidError: a cell that states access cannot be understood; its value is not in the message.
    """
    if not table.rules and granted is None:
        return None
    if granted is not None and granted.broken:
        raise InvalidError("a grant of it names no principal, or neither allow nor deny")
    allow = {*_principals(table.allow, row), *(granted.allow if granted else ())}
    deny = {*_principals(table.deny, row), *(granted.deny if granted else ())}
    mode: Mode = "break" if table.allow or granted is not None else "inherit"
    spec = access_spec(allow, deny, mode=mode, labels=_labels(table, row))
    return None if spec.plain else spec


def _principals(column: str | None, row: Mapping[str, Any]) -> list[str]:
    if column is None:
        return []
    try:
        return parse_cell(row[column])
    except InvalidError as error:
        raise InvalidError(f"column {column!r}: {error.detail}") from None


def _labels(table: TableConfig, row: Mapping[str, Any]) -> dict[str, str]:
    value = row[table.classification] if table.classification else None
    if value is None:
        return {}
    if not isinstance(value, str) or not value.strip():
        raise InvalidError(f"column {table.classification!r}: not the name of a classification")
    return {"classification": value.strip()}


def parse_cell(value: Any) -> list[str]:
    """The principals an access cell names: a JSON list, an array, or text separated by commas; NULL and blank: none.

    Raises:
        InvalidError: anything in it is no principal.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    if isinstance(value, str):
        value = _listed(value.strip())
    if not isinstance(value, list):
        raise InvalidError(f"a value of type {type(value).__name__} is no list of principals")
    try:
        return [check_principal(one) for one in map(_stripped, value)]
    except InvalidError:
        raise InvalidError("holds something that is no principal") from None


def _listed(text: str) -> Any:
    if not text.startswith("["):
        return text.split(",")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidError("is no JSON list") from None


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value
