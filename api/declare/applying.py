"""Applies declared objects inside the caller's one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api.declare.differences import Difference, plan, wanted_body
from api.declare.directories import delete_directory, put_directory
from api.declare.rules import put_policy
from api.declare.shapes import Declared
from api.declare.sources import delete_source, put_source
from api.directory import end_keys
from core.audit import Audit
from core.tables import ConfigObject
from policies import directory
from policies.grants import put_grant, remove_grant
from policies.identities import link
from policies.rules_store import remove_rule


def apply(
    session: Session,
    tenant: int,
    declared: Sequence[Declared],
    prune: bool = False,
    *,
    audit: Audit,
    actor: str = "local",
    noted: Mapping[str, Any] = MappingProxyType({}),
) -> list[Difference]:
    """Makes what is declared stand, and says what that changed; where nothing changes, nothing is written.

    The caller commits: an error anywhere must end the transaction, so that all of it holds or none.

    Raises:
        InvalidError: as `plan`.
    """
    differences = plan(session, tenant, declared, prune)
    bodies = {(one.kind, one.id): wanted_body(one) for one in declared}
    for one in differences:
        if one.action in ("create", "change"):
            put_body(session, tenant, one.kind, one.id, bodies[one.kind, one.id])
        elif one.action == "delete":
            remove_body(session, tenant, one.kind, one.id)
    changed = [one for one in differences if one.action != "unchanged"]
    if changed:
        body: dict[str, Any] = {action: _names(changed, action) for action in ("create", "change", "delete")}
        before = {f"{one.kind}/{one.id}": one.before for one in changed}
        after = {f"{one.kind}/{one.id}": one.after for one in changed}
        audit.change(session, tenant, "config.apply", actor, {**body, **noted}, before=before, after=after)
    return differences


def put_body(session: Session, tenant: int, kind: str, key: str, body: Mapping[str, Any]) -> None:
    """Makes one object what a canonical body says."""
    _PUT[kind](session, tenant, key, body)


def remove_body(session: Session, tenant: int, kind: str, key: str) -> None:
    """Removes one object."""
    _REMOVE[kind](session, tenant, key)


def _names(changed: Sequence[Difference], action: str) -> list[str]:
    return [f"{one.kind}/{one.id}" for one in changed if one.action == action]


def _put_group(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
    directory.put_group(session, tenant, key)
    directory.set_containers(session, tenant, f"group:{key}", body["groups"])


def _put_user(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
    row = directory.put_user(
        session, tenant, key, email=body["email"], active=body["active"], attributes=dict(body["attributes"])
    )
    link(session, row, body["identities"])
    directory.set_containers(session, tenant, f"user:{key}", body["groups"])


def _put_app(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
    directory.put_app(session, tenant, key, **body)


def _put_config(kind: str) -> Callable[[Session, int, str, Mapping[str, Any]], None]:
    def put(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
        row = session.scalars(
            select(ConfigObject).where(
                ConfigObject.tenant_id == tenant, ConfigObject.kind == kind, ConfigObject.key == key
            )
        ).one_or_none()
        if row is None:
            session.add(ConfigObject(tenant_id=tenant, kind=kind, key=key, body=dict(body)))
        else:
            row.body, row.revision = dict(body), row.revision + 1
        session.flush()

    return put


def _remove_config(kind: str) -> Callable[[Session, int, str], None]:
    def remove(session: Session, tenant: int, key: str) -> None:
        session.execute(
            delete(ConfigObject).where(
                ConfigObject.tenant_id == tenant, ConfigObject.kind == kind, ConfigObject.key == key
            )
        )

    return remove


def _remove_principal(kind: str) -> Callable[[Session, int, str], None]:
    def remove(session: Session, tenant: int, key: str) -> None:
        directory.remove(session, tenant, f"{kind}:{key}")

    return remove


def _remove_app(session: Session, tenant: int, key: str) -> None:
    """An app goes with its keys."""
    end_keys(session, tenant, key)
    directory.remove(session, tenant, f"app:{key}")


def _put_grant(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
    put_grant(session, tenant, key, body)


_PUT: Mapping[str, Callable[[Session, int, str, Mapping[str, Any]], None]] = MappingProxyType(
    {
        "Group": _put_group,
        "User": _put_user,
        "Directory": put_directory,
        "Source": put_source,
        "App": _put_app,
        "Model": _put_config("Model"),
        "Route": _put_config("Route"),
        "Policy": put_policy,
        "Grant": _put_grant,
    }
)
_REMOVE: Mapping[str, Callable[[Session, int, str], None]] = MappingProxyType(
    {
        "Group": _remove_principal("group"),
        "User": _remove_principal("user"),
        "Directory": delete_directory,
        "Source": delete_source,
        "App": _remove_app,
        "Model": _remove_config("Model"),
        "Route": _remove_config("Route"),
        "Policy": remove_rule,
        "Grant": remove_grant,
    }
)
