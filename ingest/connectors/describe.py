"""A connector's configuration as tables, for its page in the documentation and for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ingest.model import JsonObject


@dataclass(frozen=True, slots=True)
class Setting:
    """One key; `default` None: it is required."""

    key: str
    kind: str
    default: str | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of the configuration, or of an object in it; `name` is empty for the configuration itself."""

    name: str
    meaning: str
    settings: tuple[Setting, ...]


def tables(schema: JsonObject) -> list[Table]:
    """The tables of a configuration's JSON Schema: itself first, then each kind of object in it."""
    named = [(name, one) for name, one in schema.get("$defs", {}).items() if name != "SecretRef"]
    order = {name: place for place, name in enumerate(_names(schema))}
    named.sort(key=lambda one: order.get(one[0], len(order)))
    return [_table("", schema), *(_table(name, one) for name, one in named)]


def markdown(schema: JsonObject) -> str:
    """The tables as Markdown."""
    parts = []
    for table in tables(schema):
        rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
        for one in table.settings:
            default = "required" if one.default is None else f"`{one.default}`" if one.default else "none"
            rows.append(f"| `{one.key}` | {one.kind} | {default} | {one.meaning.replace('|', chr(92) + '|')} |")
        head = f"{table.name}: {table.meaning}\n\n" if table.name else ""
        parts.append(head + ("\n".join(rows) if table.settings else "It takes no settings."))
    return "\n\n".join(parts)


def _table(name: str, schema: JsonObject) -> Table:
    required = set(schema.get("required", []))
    settings = tuple(
        Setting(key, _kind(one), None if key in required else _default(one), one.get("description", ""))
        for key, one in schema.get("properties", {}).items()
    )
    return Table(f"`{name}`" if name else "", schema.get("description", ""), settings)


def _names(part: Any) -> Iterator[str]:
    """Kinds of object in the order in which they are named."""
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
        for one in part.values():
            yield from _names(one)
    elif isinstance(part, list):
        for one in part:
            yield from _names(one)


def _kind(schema: JsonObject) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "`{secret: NAME}`" if name == "SecretRef" else f"`{name}`"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if choices:
        return ", ".join(f"`{one}`" if one != "" else "empty" for one in choices)
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("type") == "object":
        return f"object of {_kind(schema['additionalProperties'])}" if schema.get("additionalProperties") else "object"
    words = {"string": "text", "integer": "integer", "number": "number", "boolean": "true, false"}
    return words.get(schema.get("type", ""), "any") + _limits(schema)


def _limits(schema: JsonObject) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{word} {schema[key]:g}" for key, word in words.items() if key in schema]
    return f" ({', '.join(found)})" if found else ""


def _default(schema: JsonObject) -> str:
    value = schema.get("default")
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "its own defaults"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
