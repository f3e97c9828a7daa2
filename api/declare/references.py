"""What declared objects name must be there once they are applied."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from api.declare.present import Bodies
from api.declare.shapes import Declared
from api.sources import PUSH
from core.errors import InvalidError
from core.secrets import secret_names
from gateway.config import DEFAULT_ROUTE, EXTRACTIVE
from ingest.connectors.registry import connector_class, make
from ingest.model import ConnectorContext
from policies.model import parse_access


def check_references(declared: Sequence[Declared], standing: Bodies, gone: Collection[tuple[str, str]]) -> None:
    """Refuses names of groups, sources and models that nothing would answer to, and configurations that do not fit.

    Raises:
        InvalidError: names the file, the document and the field.
    """
    known = (set(standing) | {(one.kind, one.id) for one in declared}) - set(gone)
    models = {key for kind, key in known if kind == "Model"} | {EXTRACTIVE.key}
    routes = {key for kind, key in known if kind == "Route"} | {DEFAULT_ROUTE}
    groups = {key for kind, key in known if kind == "Group"}
    sources = {key for kind, key in known if kind == "Source"}
    for one in declared:
        if one.kind in ("User", "Group"):
            _require(one, "groups", one.body["groups"], groups, "group")
        elif one.kind == "App":
            _require(one, "sources", one.body["sources"] or (), sources, "source")
            _require(one, "models", one.body["models"] or (), models | routes, "model or route")
        elif one.kind == "Route":
            _require(one, "models", one.body["models"], models, "model")
        elif one.kind == "Source":
            check_source(one)


def check_source(one: Declared) -> None:
    """Holds a source's configuration against its connector, without reaching anything.

    Raises:
        InvalidError: no such connector, or the configuration does not fit it.
    """
    name, config = one.body["connector"], one.body["config"]
    if name == PUSH and one.body["max_access_age"] is not None:
        told = "a push source has no sync that could renew its access; leave it out"
        raise InvalidError(f"{one.where}: 'max_access_age': {told}", errors=[{"field": "max_access_age"}])
    try:
        if secret_names(config):
            # The values are not known here, and a connector may look at them; its shape is checked alone.
            _check_shape(name, config)
        else:
            base = one.file.parent if one.file else Path()
            make(name, config, ConnectorContext(base=base, root_access=parse_access(one.body["access"]))).close()
    except InvalidError as error:
        raise InvalidError(f"{one.where}: {error.detail}", **error.extra) from None


def _check_shape(name: str, config: dict[str, object]) -> None:
    from pydantic import ValidationError

    try:
        connector_class(name).Config.model_validate(config)
    except ValidationError as error:
        found = [
            {"field": ".".join(["config", *map(str, each["loc"])]), "message": each["msg"]}
            for each in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        said = "; ".join(f"{each['field']}: {each['message']}" for each in found)
        raise InvalidError(f"configuration of connector {name!r} does not fit: {said}", errors=found) from None


def _require(one: Declared, field: str, named: Iterable[str], known: Collection[str], what: str) -> None:
    missing = [key for key in named if key not in known]
    if missing:
        raise InvalidError(
            f"{one.where}: '{field}': there is no {what} {missing[0]!r}; declare it too, or mend the name",
            errors=[{"field": field, "message": f"there is no {what} {missing[0]!r}"}],
        )
