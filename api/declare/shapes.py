"""The shapes of declared objects: each kind's body checked, and made canonical so that equal ones compare equal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_serializer,
)

from core.errors import InvalidError
from core.ids import KEY_PATTERN, is_key
from gateway.config import parse_model, parse_route
from policies.grants import FIRST, check_object, check_right
from policies.model import check_principal, parse_access

KINDS: Final = ("Group", "User", "Directory", "Source", "App", "Model", "Route", "Policy", "Grant")
"""In the order they are applied: what others refer to comes first."""
LATER: Final = ("Budget",)
ADMIN_APP: Final = "admin"
"""The app of the first key; it is neither declared nor pruned."""

_UNITS: Mapping[str, int] = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86400})
_DURATION = re.compile(r"^(\d{1,9})([smhd]?)$")


@dataclass(frozen=True, slots=True)
class Declared:
    """One object as a document declares it.

    Attributes:
        body: the canonical body, without `kind` and `id`.
        file, line: where the document begins; None for one that came over the API.
    """

    kind: str
    id: str
    body: dict[str, Any]
    file: Path | None = None
    line: int | None = None

    @property
    def where(self) -> str:
        """File, line and name, to begin a message with."""
        name = f"{self.kind} '{self.id}'"
        return f"{self.file}:{self.line}: {name}" if self.file else name


def duration_s(value: Any) -> int:
    """Seconds that `24h`, `15m`, `7d`, `90s` or a number of seconds mean.

    Raises:
        ValueError: it means none.
    """
    found = _DURATION.match(value.strip()) if isinstance(value, str) else None
    if found:
        seconds = int(found[1]) * _UNITS[found[2] or "s"]
    elif isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    else:
        raise ValueError("write a duration such as 24h, 15m, 7d or a number of seconds")
    if seconds < 1:
        raise ValueError("a duration must be above zero")
    return seconds


def _schedule(value: str) -> str:
    from ingest.schedule import check_schedule  # only sources with a schedule need it

    try:
        return check_schedule(value)
    except InvalidError as error:
        raise ValueError(error.detail) from None


def _key(value: str) -> str:
    if not is_key(value):
        raise ValueError(f"every name must match {KEY_PATTERN}")
    return value


def _principal(value: str) -> str:
    try:
        return check_principal(value)
    except InvalidError as error:
        raise ValueError(error.detail) from None


def _access(value: Any) -> Any:
    try:
        parse_access(value)
    except InvalidError as error:
        raise ValueError(error.detail) from None
    return value


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise ValueError("this is no e-mail address")
    return value.casefold()


def _unique(values: list[str]) -> list[str]:
    return sorted(set(values))


Times = Annotated[str, AfterValidator(_schedule)]
Keys = Annotated[list[Annotated[str, AfterValidator(_key)]], AfterValidator(_unique)]
Principals = Annotated[list[Annotated[str, AfterValidator(_principal)]], AfterValidator(_unique)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UserBody(_Shape):
    """A person."""

    email: Annotated[str, AfterValidator(_email)] | None = None
    groups: Keys = []
    attributes: dict[str, JsonValue] = {}
    active: bool = True
    identities: dict[str, Annotated[str, Field(min_length=1, max_length=255)]] = {}


class GroupBody(_Shape):
    """A group; its members are members of `groups` too."""

    groups: Keys = []


class ScheduleBody(_Shape):
    """When what changed in a source is read, when all of it is listed to find deletions, and when access data alone."""

    content: Times | None = None
    deletions: Times | None = None
    permissions: Times | None = None


class SourceBody(_Shape):
    """A registered source."""

    connector: str
    config: dict[str, JsonValue] = {}
    access: Annotated[dict[str, JsonValue], BeforeValidator(_access)] = {}
    max_access_age: Annotated[int, BeforeValidator(duration_s)] | None = None
    schedule: ScheduleBody = Field(default_factory=ScheduleBody)
    priority: Annotated[int, Field(ge=-100, le=100)] = 0

    @field_serializer("schedule")
    def _given(self, value: ScheduleBody) -> dict[str, str]:
        return value.model_dump(exclude_none=True)


class DirectoryBody(_Shape):
    """An LDAP server whose users and groups are copied."""

    config: dict[str, JsonValue]
    schedule: Times | None = None
    max_age: Annotated[int, BeforeValidator(duration_s)] | None = None


class AppBody(_Shape):
    """A program that asks for people."""

    sources: Keys | None = None
    acts_for: Principals = []
    models: Keys | None = None
    active: bool = True


class PolicyBody(_Shape):
    """A rule: whom and what it is about stands in `when`, in CEL. One that is not enforced is only counted."""

    effect: Literal["permit", "forbid"]
    when: str
    enforced: bool = True


def _right(value: str) -> str:
    return _told(check_right, value)


def _object(value: str) -> str:
    return _told(check_object, value)


def _told(check_: Callable[[str], str], value: str) -> str:
    try:
        return check_(value)
    except InvalidError as error:
        raise ValueError(error.detail) from None


class GrantBody(_Shape):
    """Who may administer what: principals, the rights they have (or with `deny` have not), and over which objects."""

    principals: Annotated[Principals, Field(min_length=1)]
    rights: Annotated[list[Annotated[str, AfterValidator(_right)]], AfterValidator(_unique), Field(min_length=1)]
    objects: Annotated[list[Annotated[str, AfterValidator(_object)]], AfterValidator(_unique), Field(min_length=1)] = [
        "*"
    ]
    effect: Literal["allow", "deny"] = "allow"
    app: Annotated[str, AfterValidator(_key)] | None = None
    not_before: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None

    @field_serializer("not_before", "expires_at")
    def _in_utc(self, value: datetime | None) -> str | None:
        return value.astimezone(UTC).isoformat() if value else None


def check(kind: str, key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical body of an object.

    Raises:
        InvalidError: the kind is unknown or not available, the id is not one, or the body does not fit;
            `extra['errors']` lists the fields.
    """
    if kind in LATER:
        raise InvalidError(f"kind {kind} is not available in this version; remove the document")
    if kind not in KINDS:
        raise InvalidError(f"unknown kind {kind!r}; write one of {', '.join((*KINDS, *LATER))}")
    if not is_key(key):
        raise InvalidError(f"id {key!r} is no id; it must match {KEY_PATTERN}")
    if kind == "Grant" and key == FIRST:
        raise InvalidError(f"Grant {FIRST!r} is built in; give yours another id")
    if kind == "App" and key == ADMIN_APP:
        raise InvalidError(f"App {ADMIN_APP!r} is built in; give yours another id")
    return _CHECKS[kind](key, body)


def _shape(model: type[_Shape]) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    def checked(_: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return model.model_validate(dict(body)).model_dump(mode="json")
        except ValidationError as error:
            raise _invalid(error) from None

    return checked


def _invalid(error: ValidationError) -> InvalidError:
    """The fields and reasons, never the values: they may be secrets."""
    errors = [
        {"field": ".".join(map(str, one["loc"])), "message": _message(one["type"], one["msg"])}
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return InvalidError("; ".join(f"'{one['field']}': {one['message']}" for one in errors), errors=errors)


def _message(kind: str, message: str) -> str:
    return "unknown key" if kind == "extra_forbidden" else message.removeprefix("Value error, ")


def _model(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    parse_model(key, body)
    return dict(body)


def _route(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    parse_route(key, body)
    return dict(body)


def _policy(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    from policies.rules_store import check_condition  # loads the engine of rules; only their documents need it

    checked = _shape(PolicyBody)(key, body)
    try:
        check_condition(checked["when"])
    except InvalidError as error:
        raise InvalidError(f"'when': {error.detail}", **error.extra) from None
    return checked


def _directory(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    from ingest.directories.sync import check_shape  # only its documents need it

    checked = _shape(DirectoryBody)(key, body)
    check_shape(checked["config"])
    return checked


_CHECKS: Mapping[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]] = MappingProxyType(
    {
        "Group": _shape(GroupBody),
        "User": _shape(UserBody),
        "Directory": _directory,
        "Source": _shape(SourceBody),
        "App": _shape(AppBody),
        "Model": _model,
        "Route": _route,
        "Policy": _policy,
        "Grant": _shape(GrantBody),
    }
)
