"""Applies declared objects inside the caller's one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from api.declare.differences import Difference, plan, wanted_body
from api.declare.rules import put_policy
from api.declare.shapes import Declared
from api.declare.sources import delete_source, put_source
from core.audit import Audit
from core.clock import db_now
from core.tables import ApiKey, App, ConfigObject
from policies import directory
from policies.rules_store import remove_rule


def apply(
    session: Session,
    tenant: int,
    declared: Sequence[Declared],
    prune: bool = False,
    *,
    audit: Audit,
    actor: str = "local",
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
            _PUT[one.kind](session, tenant, one.id, bodies[one.kind, one.id])
        elif one.action == "delete":
            _REMOVE[one.kind](session, tenant, one.id)
    changed = [one for one in differences if one.action != "unchanged"]
    if changed:
        body = {action: _names(changed, action) for action in ("create", "change", "delete")}
        audit.append(session, tenant, "config.apply", actor, body)
    return differences


def _names(changed: Sequence[Difference], action: str) -> list[str]:
    return [f"{one.kind}/{one.id}" for one in changed if one.action == action]


def _put_group(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
    directory.put_group(session, tenant, key)
    directory.set_containers(session, tenant, f"group:{key}", body["groups"])


def _put_user(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
    directory.put_user(
        session, tenant, key, email=body["email"], active=body["active"], attributes=dict(body["attributes"])
    )
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
    """An app goes with its keys: another app of that name must not inherit them."""
    app = select(App.id).where(App.tenant_id == tenant, App.key == key)
    session.execute(
        update(ApiKey)
        .where(ApiKey.tenant_id == tenant, ApiKey.app_id.in_(app), ApiKey.revoked_at.is_(None))
        .values(revoked_at=db_now())
    )
    directory.remove(session, tenant, f"app:{key}")


_PUT: Mapping[str, Callable[[Session, int, str, Mapping[str, Any]], None]] = MappingProxyType(
    {
        "Group": _put_group,
        "User": _put_user,
        "Source": put_source,
        "App": _put_app,
        "Model": _put_config("Model"),
        "Route": _put_config("Route"),
        "Policy": put_policy,
    }
)
_REMOVE: Mapping[str, Callable[[Session, int, str], None]] = MappingProxyType(
    {
        "Group": _remove_principal("group"),
        "User": _remove_principal("user"),
        "Source": delete_source,
        "App": _remove_app,
        "Model": _remove_config("Model"),
        "Route": _remove_config("Route"),
        "Policy": remove_rule,
    }
)
