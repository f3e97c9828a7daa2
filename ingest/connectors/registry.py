"""Finds connectors by name, describes their configuration, and builds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from core.errors import InvalidError
from ingest.model import Connector, ConnectorContext, JsonObject

GROUP = "ambit.connectors"


@dataclass(frozen=True, slots=True)
class Description:
    """What a form or a help page needs to know of a connector; `schema` is the JSON Schema of its configuration."""

    name: str
    title: str
    summary: str
    schema: JsonObject


def names() -> list[str]:
    """Every installed connector, sorted."""
    return sorted(_entries())


def connector_class(name: str) -> type[Connector]:
    """The class registered as `name`.

    Raises:
        InvalidError: nothing is registered so, or it cannot be imported; the message lists what is.
    """
    entries = _entries()
    if name not in entries:
        raise InvalidError(f"no connector is named {name!r}; installed are {', '.join(sorted(entries)) or 'none'}")
    try:
        found: type[Connector] = entries[name].load()
    except (ImportError, AttributeError) as error:
        raise InvalidError(f"connector {name!r} is installed but cannot be loaded: {error}") from error
    return found


def describe(name: str) -> Description:
    """What the connector `name` is and takes.

    Raises:
        InvalidError: no such connector.
    """
    cls = connector_class(name)
    return Description(cls.name, cls.title, cls.summary, cls.Config.model_json_schema())


def make(name: str, config: Mapping[str, Any], context: ConnectorContext) -> Connector:
    """A connector of one source, ready to be checked or listed; does no I/O.

    Raises:
        InvalidError: no such connector, or `config` does not fit; `extra["errors"]` holds one object a wrong field.
    """
    return build(connector_class(name), config, context)


def build(cls: type[Connector], config: Mapping[str, Any], context: ConnectorContext) -> Connector:
    """As `make`, for a class that need not be registered.

    Raises:
        InvalidError: `config` does not fit.
    """
    try:
        checked = cls.Config.model_validate(dict(config))
    except ValidationError as error:
        raise _invalid(cls.name, error) from None
    return cls(checked, context)


def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _invalid(name: str, error: ValidationError) -> InvalidError:
    """The fields and reasons, without the values: a configuration may hold a password."""
    found = [
        {"field": ".".join(["config", *map(str, one["loc"])]), "message": one["msg"]}
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    said = "; ".join(f"{one['field']}: {one['message']}" for one in found)
    return InvalidError(f"configuration of connector {name!r} does not fit: {said}", errors=found)
