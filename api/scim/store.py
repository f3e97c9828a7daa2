"""What one provisioner wrote: found by id, by a filter, page by page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from scim2_models import Group as ScimGroup
from scim2_models import ScimFilter
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from api.errors import PreconditionFailedError
from api.scim.errors import read_strictly
from api.scim.resources import BASE, MAX_RESULTS, ScimUser
from core.clock import db_now
from core.errors import NotFoundError
from core.tables import ExternalIdentity, Group, User

Render = Callable[[ExternalIdentity, str], dict[str, Any]]
_EQUALS = re.compile(r'^\s*(userName|displayName|externalId|id)\s+eq\s+"((?:[^"\\]|\\.)*)"\s*$', re.IGNORECASE)
_TABLES: Mapping[str, Any] = MappingProxyType({"user": User, "group": Group})
_MODELS: Mapping[str, Any] = MappingProxyType({"user": ScimUser, "group": ScimGroup})
_NAMES: Mapping[str, str] = MappingProxyType({"user": "username", "group": "displayname"})
_PLURAL: Mapping[str, str] = MappingProxyType({"user": "Users", "group": "Groups"})


@dataclass(frozen=True, slots=True)
class Owner:
    """One provisioner: the tenant and the app whose key it uses. Only what it wrote is there for it."""

    tenant: int
    app: str

    @property
    def origin(self) -> str:
        """Who its statements come from."""
        return f"scim:{self.app}"


def find(session: Session, owner: Owner, kind: str, key: str) -> ExternalIdentity:
    """What the provisioner wrote of the user or group of that id.

    Raises:
        NotFoundError: it wrote none.
    """
    table = _TABLES[kind]
    row = session.scalars(
        select(ExternalIdentity)
        .join(table, table.id == ExternalIdentity.subject_id)
        .where(*_mine(owner, kind), table.tenant_id == owner.tenant, table.key == key)
    ).one_or_none()
    if row is None or not row.body:
        raise NotFoundError(f"there is no {kind} {key!r} that you made")
    return row


def named(session: Session, owner: Owner, kind: str, name: str) -> ExternalIdentity | None:
    """What the provisioner wrote under a name (userName or displayName), in any case of letters."""
    return session.scalars(
        select(ExternalIdentity).where(*_mine(owner, kind), ExternalIdentity.name == name.casefold())
    ).first()


def page(
    session: Session, owner: Owner, kind: str, *, asked: str | None, start: int, count: int, render: Render
) -> tuple[list[dict[str, Any]], int]:
    """Resources from the `start`th (from 1) on, at most `count`, and how many fit the filter `asked`.

    Raises:
        ScimError: the filter is not understood.
    """
    table = _TABLES[kind]
    rows = (
        select(ExternalIdentity, table.key)
        .join(table, table.id == ExternalIdentity.subject_id)
        .where(*_mine(owner, kind), table.tenant_id == owner.tenant)
        .order_by(ExternalIdentity.id)
    )
    skip, most = max(start, 1) - 1, max(0, min(count, MAX_RESULTS))
    simple = _EQUALS.match(asked) if asked else None
    if asked and not simple:
        return _matching(session, rows, kind, asked, skip=skip, most=most, render=render)
    if simple:
        rows = rows.where(_equals(kind, table, simple[1].casefold(), re.sub(r"\\(.)", r"\1", simple[2])))
    total = session.scalar(select(func.count()).select_from(rows.order_by(None).subquery())) or 0
    found = session.execute(rows.offset(skip).limit(most)).all() if most else []
    return [render(row, key) for row, key in found if row.body], total


def _equals(kind: str, table: Any, attribute: str, value: str) -> ColumnElement[bool]:
    if attribute == "id":
        found: ColumnElement[bool] = table.key == value
        return found
    if attribute == "externalid":
        return ExternalIdentity.external_id == value
    return ExternalIdentity.name == (value.casefold() if attribute == _NAMES[kind] else "\x00")


def _matching(
    session: Session, rows: Any, kind: str, asked: str, *, skip: int, most: int, render: Render
) -> tuple[list[dict[str, Any]], int]:
    """Any other filter is asked of each resource."""
    model = _MODELS[kind]
    with read_strictly():
        wanted = ScimFilter.__class_getitem__(model)(asked)
        told = (render(row, key) for row, key in session.execute(rows) if row.body)
        found = [one for one in told if wanted.match(model.model_validate(one))]
    return found[skip : skip + most], len(found)


def _mine(owner: Owner, kind: str) -> tuple[ColumnElement[bool], ...]:
    return (
        ExternalIdentity.tenant_id == owner.tenant,
        ExternalIdentity.authority == owner.origin,
        ExternalIdentity.kind == kind,
        ExternalIdentity.name != "",  # an admin's link that waits for its first write has none
    )


def version(row: ExternalIdentity) -> str:
    """The ETag of what stands."""
    return f'W/"{row.id}.{row.revision}"'


def check(row: ExternalIdentity, if_match: str | None) -> None:
    """Refuses a change that was made from another state.

    Raises:
        PreconditionFailedError: it changed since.
    """
    if if_match is not None and not {"*", version(row)} & {one.strip() for one in if_match.split(",")}:
        raise PreconditionFailedError("it changed since that ETag was given; read it again and repeat the change")


def touch(row: ExternalIdentity) -> None:
    """Notes a change."""
    row.revision += 1
    row.modified_at = db_now()


def envelope(row: ExternalIdentity, key: str) -> dict[str, Any]:
    """The body as it was written, with its id and what Ambit knows of it."""
    return {
        **row.body,
        "id": key,
        "meta": {
            "resourceType": row.kind.capitalize(),
            "created": _stamp(row.created_at),
            "lastModified": _stamp(row.modified_at),
            "location": f"{BASE}/{_PLURAL[row.kind]}/{key}",
            "version": version(row),
        },
    }


def _stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
