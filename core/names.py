"""What something is called, found in stored values and struck out of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

_BEFORE, _AFTER = r"(?<!\w)(?<!\w[@.+'-])", r"(?!\w|[@.+-]+\w)"
_PROBE = re.compile(r"[a-z0-9@._:/ =,-]+")
_THINGS = frozenset(
    {
        "action", "app", "connector", "directory", "effect", "encoder", "grant", "group", "groups", "kind", "model",
        "models", "object", "operation", "origin", "outcome", "policy", "reason", "right", "rights", "route", "source",
        "sources", "state",
    }
)  # fmt: skip
"""Fields that name something else than a person, whatever it is called."""
_STATES = frozenset({"before", "after"})
_ABOUT = frozenset({"app", "directory", "grant", "group", "model", "policy", "route", "source"})
"""Fields that say what an object is about, where that is no person."""
_IDS = frozenset({"id", "key"})
_FIELDS = (
    _THINGS | _STATES | _IDS | {"active", "admin", "attributes", "body", "email", "erased", "members", "people", "user"}
)
"""Words that are fields of objects, although a person may be called so."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a name: what is looked for, case apart, and what stands in its stead.

    Attributes:
        pattern: a regular expression; a name within a longer word is none.
        instead: as in `re.sub`.
        probe: a part of every place that the pattern fits, in lower case; it narrows what is read from SQL.
    """

    pattern: str
    instead: str
    probe: str


def form(name: str, instead: str, *, before: str = "", rest: bool = False) -> Form:
    """A form of exactly this name.

    Args:
        before: a regular expression for what leads to it and stays.
        rest: whether what follows on the same line belongs to it.
    """
    after = r"[^\n\"]*" if rest else _AFTER
    pattern = f"{_BEFORE}({before}){re.escape(name)}{after}"
    literal = instead.replace("\\", r"\\")
    return Form(pattern, rf"\g<1>{literal}", probe(name))


def probe(text: str) -> str:
    """The longest piece of a text whose case every database knows, in lower case; empty where there is none."""
    return max(_PROBE.findall(text.lower()), key=len, default="")


@dataclass(frozen=True)
class Names:
    """What one thing is called.

    Attributes:
        token: what stands in its stead.
        forms: names that mean it wherever they stand.
        keys: ids that mean it where a whole value is one, unless the field is known to name something else.
    """

    token: str
    forms: tuple[Form, ...] = ()
    keys: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def said(self) -> Names:
        """The same without ids that stand alone: for what such an id may mean something else in."""
        return replace(self, keys=frozenset())

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        return tuple((re.compile(one.pattern, re.IGNORECASE), one.instead) for one in self.forms)

    @cached_property
    def probes(self) -> frozenset[str]:
        """Texts of which every stored value that names it holds one, case apart; of JSON as it is stored."""
        quoted = {f'"{key.lower()}"' if _PROBE.fullmatch(key.lower()) else probe(key) for key in self.keys}
        return frozenset({one.probe for one in self.forms} | quoted)

    def text(self, value: str) -> str:
        """`value` without its names."""
        for pattern, instead in self._patterns:
            value = pattern.sub(instead, value)
        return value

    def strike(self, value: Any, at: str = "") -> Any:
        """Plain JSON without its names. An object that is about it alone is replaced whole.

        Args:
            at: the field that holds the value.
        """
        if isinstance(value, str):
            return self.token if value in self.keys and at not in _THINGS else self.text(value)
        if isinstance(value, list):
            return [self.strike(one, at) for one in value]
        return self._object(value) if isinstance(value, dict) else value

    def _object(self, value: Mapping[str, Any]) -> dict[str, Any]:
        if self._describes(value):
            return {"erased": self.token}
        user = value.get("user")
        about, apart = isinstance(user, str) and user in self.keys, _apart(value)
        struck = {}
        for key, one in value.items():
            if apart and (key in _IDS or key in _STATES):
                struck[key] = self._other(one)
                continue
            named = self.token if key in self.keys - _FIELDS else self.text(key)
            whole = (about and key in _STATES) or (named != key and isinstance(one, dict))
            struck[named] = {"erased": self.token} if whole and one is not None else self.strike(one, key)
        return struck

    def _other(self, value: Any) -> Any:
        """The id, or a state, of what is no person: it may be called the same."""
        if not isinstance(value, dict):
            return self.said.strike(value)
        return {key: self.said.strike(one) if key in _IDS else self.strike(one, key) for key, one in value.items()}

    def _describes(self, value: Mapping[str, Any]) -> bool:
        """Whether an object is a description of it: it says who it is and what it is like."""
        called = {str(value[name]) for name in ("id", "key", "userName", "email") if isinstance(value.get(name), str)}
        mine = any(one in self.keys or self.text(one) != one for one in called)
        return mine and bool({"attributes", "email", "emails", "userName", "stated"} & value.keys())

    def dumps(self) -> str:
        """As text, to be sealed."""
        forms = [[one.pattern, one.instead, one.probe] for one in self.forms]
        return json.dumps({"token": self.token, "forms": forms, "keys": sorted(self.keys)})


def _apart(value: Mapping[str, Any]) -> bool:
    """Whether an object says that it is about something else than a person."""
    kind, operation = value.get("kind"), value.get("operation")
    if isinstance(kind, str):
        return kind.lower() not in ("user", "person")
    if isinstance(operation, str):
        return not operation.startswith("user.")
    return "user" not in value and bool(_ABOUT & value.keys())


def load_names(told: Mapping[str, Any]) -> Names:
    """What `Names.dumps` gave, read."""
    return Names(told["token"], tuple(Form(*one) for one in told["forms"]), frozenset(told["keys"]))


def spoken(values: Iterable[str | None], least: int = 5) -> list[str]:
    """Those of some values that are names on their own wherever they stand: addresses, and names of several words."""
    return sorted({one.strip() for one in values if one and len(one.strip()) >= least and re.search(r"[@\s]", one)})
