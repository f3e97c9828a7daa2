"""The bodies of `kind: Model` and `kind: Route`, checked; what the gateway works from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.errors import InvalidError
from core.ids import KEY_PATTERN, is_key
from gateway.model import ModelSpec

EXTRACTIVE = ModelSpec(key="extractive", class_path="extractive", hosting="internal")
DEFAULT_ROUTE = "default"
_CLASS_PATTERN = r"^(extractive|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+)$"
Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A declared Route: keys of models in the order they are tried."""

    key: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Every Model and Route of a tenant as of now; `extractive` need not be declared."""

    models: Mapping[str, ModelSpec] = field(default_factory=dict)
    routes: Mapping[str, RouteSpec] = field(default_factory=dict)

    def model(self, key: str) -> ModelSpec | None:
        """The model of that key, the built-in one included."""
        found = self.models.get(key)
        return EXTRACTIVE if found is None and key == EXTRACTIVE.key else found

    def route(self, key: str) -> RouteSpec | None:
        """The route of that key; `default` is the extractive model until it is declared."""
        found = self.routes.get(key)
        return RouteSpec(key, (EXTRACTIVE.key,)) if found is None and key == DEFAULT_ROUTE else found


class _Price(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input: float = Field(0.0, ge=0, allow_inf_nan=False)
    output: float = Field(0.0, ge=0, allow_inf_nan=False)


class _ModelBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    class_path: str = Field(alias="class", pattern=_CLASS_PATTERN)
    arguments: dict[str, Any] = Field(default_factory=dict)
    hosting: Literal["internal", "external"] | None = None
    region: str | None = None
    max_classification: str | None = None
    price: _Price = Field(default_factory=_Price)
    context_tokens: int = Field(8192, ge=256)

    @field_validator("arguments")
    @classmethod
    def _secrets_named(cls, value: dict[str, Any]) -> dict[str, Any]:
        _check_secrets(value)
        return value


class _RouteBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    models: list[str] = Field(min_length=1)

    @field_validator("models")
    @classmethod
    def _keys(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError("names a model twice")
        if not all(is_key(key) for key in value):
            raise ValueError(f"every name must match {KEY_PATTERN}")
        return value


def parse_model(key: str, body: Mapping[str, Any]) -> ModelSpec:
    """The Model of that id from the rest of its YAML document (without `kind` and `id`).

    Raises:
        InvalidError: a key is unknown, missing or wrong; `extra['errors']` lists them, never their values.
    """
    parsed = _parse("Model", key, _ModelBody, body)
    if key == EXTRACTIVE.key and parsed.class_path != EXTRACTIVE.class_path:
        raise InvalidError("Model 'extractive' is built in; give yours another id.")
    extractive = parsed.class_path == EXTRACTIVE.class_path
    return ModelSpec(
        key=key,
        class_path=parsed.class_path,
        arguments=parsed.arguments,
        hosting=parsed.hosting or ("internal" if extractive else "external"),
        region=parsed.region,
        max_classification=parsed.max_classification,
        price_input=parsed.price.input,
        price_output=parsed.price.output,
        context_tokens=parsed.context_tokens,
    )


def parse_route(key: str, body: Mapping[str, Any]) -> RouteSpec:
    """The Route of that id from the rest of its YAML document.

    Raises:
        InvalidError: as `parse_model`; also for `when`, which routes cannot have yet.
    """
    if "when" in body:
        raise InvalidError(f"Route '{key}': routes with `when` are not supported yet; remove `when`.")
    return RouteSpec(key, tuple(_parse("Route", key, _RouteBody, body).models))


def check_references(config: GatewayConfig) -> None:
    """Refuses a route that names a model nobody declared.

    Raises:
        InvalidError: names the route and the model.
    """
    for route in config.routes.values():
        for key in route.models:
            if config.model(key) is None:
                raise InvalidError(f"Route '{route.key}' names model '{key}', which is not declared.")


def _parse(kind: str, key: str, schema: type[Body], body: Mapping[str, Any]) -> Body:
    if not is_key(key):
        raise InvalidError(f"{kind} id '{key}' must match {KEY_PATTERN}.")
    try:
        return schema.model_validate(dict(body))
    except ValidationError as error:
        errors = [
            {"field": ".".join(str(part) for part in each["loc"]), "message": _message(each["type"], each["msg"])}
            for each in error.errors(include_input=False, include_url=False, include_context=False)
        ]
    listed = "; ".join(f"'{each['field']}': {each['message']}" for each in errors)
    raise InvalidError(f"{kind} '{key}': {listed}.", errors=errors)


def _message(kind: str, message: str) -> str:
    return "unknown key" if kind == "extra_forbidden" else message.removeprefix("Value error, ")


def _check_secrets(value: Any) -> None:
    """Finds `{secret: NAME}` at any depth and refuses one that says more or names nothing."""
    if isinstance(value, dict):
        if "secret" in value and (len(value) != 1 or not isinstance(value["secret"], str) or not value["secret"]):
            raise ValueError("a secret is written {secret: NAME} and nothing else")
        for each in value.values():
            _check_secrets(each)
    elif isinstance(value, list):
        for each in value:
            _check_secrets(each)
