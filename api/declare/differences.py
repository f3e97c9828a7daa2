"""The difference between what is declared and what stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from api.declare.present import Bodies, fed_groups, present
from api.declare.references import check_references
from api.declare.rules import check_policies
from api.declare.shapes import KINDS, Declared

Action = Literal["create", "change", "delete", "unchanged"]
HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"api_?key|access_?key|token|passw|secret|credential|authorization", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field before and after; None: absent. Secrets are hidden."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """What applying does to one object. `removed`: what is deleted."""

    kind: str
    id: str
    action: Action
    fields: tuple[FieldChange, ...] = ()
    removed: dict[str, Any] | None = None

    @property
    def before(self) -> dict[str, Any] | None:
        """The fields that change as they were; None: there was nothing."""
        if self.removed is not None:
            return self.removed
        return None if self.action == "create" else {one.field: one.before for one in self.fields}

    @property
    def after(self) -> dict[str, Any] | None:
        """The fields that change as they will be; None: there will be nothing."""
        return None if self.action == "delete" else {one.field: one.after for one in self.fields}

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        fields = [{"field": one.field, "before": one.before, "after": one.after} for one in self.fields]
        return {"kind": self.kind, "id": self.id, "action": self.action, "fields": fields}


def plan(session: Session, tenant: int, declared: Sequence[Declared], prune: bool = False) -> list[Difference]:
    """What `apply` would do, in its order; what is absent from `declared` is deleted only with `prune`.

    Raises:
        InvalidError: an object names another that would not be there, or a source's configuration does not fit.
    """
    standing = present(session, tenant)
    gone = _pruned(session, tenant, declared, standing) if prune else []
    check_references(declared, standing, gone)
    check_policies(session, tenant, declared, standing)
    changes = [
        _difference(one, standing.get((one.kind, one.id))) for kind in KINDS for one in declared if one.kind == kind
    ]
    deleted = [Difference(*name, "delete", removed=shown(_stated(standing[name]))) for name in gone]
    return changes + deleted


def wanted_body(one: Declared) -> dict[str, Any]:
    """The body that will stand: a source also keeps the folder that its paths are relative to."""
    if one.kind != "Source":
        return one.body
    return {**one.body, "base": str(one.file.parent if one.file else ".")}


def _difference(one: Declared, before: dict[str, Any] | None) -> Difference:
    after = wanted_body(one)
    if before is None:
        return Difference(one.kind, one.id, "create", _changes({}, _stated(after)))
    fields = _changes(before, after)
    return Difference(one.kind, one.id, "change" if fields else "unchanged", fields)


def _pruned(session: Session, tenant: int, declared: Sequence[Declared], standing: Bodies) -> list[tuple[str, str]]:
    """Everything that stands and is not declared; what refers to others goes first."""
    kept = {(one.kind, one.id) for one in declared} | {("Group", key) for key in fed_groups(session, tenant)}
    order = {kind: place for place, kind in enumerate(reversed(KINDS))}
    return sorted((one for one in standing if one not in kept), key=lambda one: (order[one[0]], one[1]))


def _stated(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value not in (None, [], {})}


def _changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[FieldChange, ...]:
    names = sorted(set(before) | set(after))
    return tuple(
        FieldChange(name, shown(before.get(name), name), shown(after.get(name), name))
        for name in names
        if before.get(name) != after.get(name)
    )


def shown(value: Any, name: str = "") -> Any:
    """A value as it may be printed: what may be a secret is hidden, the name of a stored secret is not."""
    if isinstance(value, dict):
        if set(value) == {"secret"}:
            return value
        return {key: shown(one, str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [shown(one, name) for one in value]
    if isinstance(value, str):
        return HIDDEN if _SECRET_NAME.search(name) else _URL_PASSWORD.sub(r"\1:***@", value)
    return value
