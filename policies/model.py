"""The words access is spoken in: principals, entries, the access of a place, decisions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from core.errors import InvalidError

Effect = Literal["allow", "deny"]
Mode = Literal["inherit", "break", "narrow"]
Origin = Literal["source", "admin"]
EVERYONE = "everyone"
_PRINCIPAL = re.compile(r"^(?:everyone|(?:user|group|app):[^\s:\x00-\x1f][^\x00-\x1f]{0,254})\Z")
_MODES: Mapping[Any, Mode] = MappingProxyType({True: "inherit", False: "break", "narrow": "narrow"})


def check_principal(text: str) -> str:
    """`text` if it names a principal: `user:<id or e-mail>`, `group:<id>`, `app:<id>` or `everyone`.

    Raises:
        InvalidError: it does not.
    """
    if not isinstance(text, str) or not _PRINCIPAL.fullmatch(text):
        raise InvalidError(f"{text!r} is no principal; write user:<id or e-mail>, group:<id>, app:<id> or everyone")
    return text


def check_member(text: str) -> str:
    """`text` if it names what can be in a group: people, groups, or `everyone`.

    Raises:
        InvalidError: it names an app, or nothing.
    """
    if check_principal(text).startswith("app:"):
        raise InvalidError(
            f"{text} cannot be in a group: an app lends nobody its rights; name people and groups, and deny an app by "
            "its own name"
        )
    return text


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One principal allowed or denied, from `not_before` until just before `expires_at` (UTC; None: unbounded)."""

    principal: str
    effect: Effect = "allow"
    not_before: datetime | None = None
    expires_at: datetime | None = None
    app: str | None = None


@dataclass(frozen=True, slots=True)
class AccessSpec:
    """The access a place states for itself.

    Attributes:
        mode: `inherit`: the parent's entries hold too; `break`: only these; `narrow`: only these, and the
            parent must allow.
        closed: its access could not be read, so nothing below it is readable, breaks included.
    """

    mode: Mode = "inherit"
    entries: frozenset[Entry] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False

    @property
    def plain(self) -> bool:
        """Whether it states nothing of its own."""
        return self.mode == "inherit" and not self.entries and not self.labels and not self.closed


CLOSED = AccessSpec(mode="break", closed=True)


def access_spec(
    allow: Iterable[str] = (),
    deny: Iterable[str] = (),
    *,
    mode: Mode = "inherit",
    labels: Mapping[str, str] | None = None,
) -> AccessSpec:
    """Builds the access of a place from lists of principals.

    Raises:
        InvalidError: something in the lists is no principal.
    """
    entries = [Entry(check_principal(p), "allow") for p in allow] + [Entry(check_principal(p), "deny") for p in deny]
    return AccessSpec(mode=mode, entries=frozenset(entries), labels=dict(labels or {}))


def mode_of(inherit: Any) -> Mode:
    """The mode that `inherit: true | false | narrow` names.

    Raises:
        InvalidError: it is something else.
    """
    try:
        if inherit in (0, 1) and not isinstance(inherit, bool):
            raise KeyError(inherit)
        return _MODES[inherit]
    except (KeyError, TypeError):
        raise InvalidError(f"inherit is {inherit!r}; write true, false or narrow") from None


def parse_access(body: Any) -> AccessSpec:
    """The access a YAML or JSON object states: `inherit`, `allow`, `deny`, `labels`.

    Raises:
        InvalidError: an unknown key, a value of the wrong type, or no principal; the message names it.
    """
    if not isinstance(body, Mapping):
        raise InvalidError(f"access is {type(body).__name__}; write an object with inherit, allow, deny, labels")
    unknown = set(body) - {"inherit", "allow", "deny", "labels"}
    if unknown:
        raise InvalidError(f"unknown key {sorted(map(str, unknown))[0]!r} in access")
    return access_spec(
        _strings(body, "allow"),
        _strings(body, "deny"),
        mode=mode_of(body.get("inherit", True)),
        labels=_labels(body),
    )


def _strings(body: Mapping[str, Any], key: str) -> list[str]:
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidError(f"{key} is {value!r}; write a list of principals")
    return [check_principal(one) for one in value]


def _labels(body: Mapping[str, Any]) -> dict[str, str]:
    value = body.get("labels")
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidError(f"labels is {value!r}; write an object of names and values")
    for name, one in value.items():
        if not isinstance(name, str) or not isinstance(one, (str, int, float, bool)):
            raise InvalidError(f"label {name!r} is {one!r}; write a name and a plain value")
    return {name: str(one) for name, one in value.items()}
