"""People, groups and apps as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import select, update
from sqlalchemy.orm import Session, aliased

from api.schemas.directory import AppBody, AppView, GroupBody, GroupView, KeyView, UserBody, UserView
from core.clock import db_now
from core.errors import NotFoundError
from core.tables import ApiKey, App, Group, Membership, Principal, User
from policies import directory
from policies.identities import link, links
from policies.model import EVERYONE, check_principal

Row = TypeVar("Row", User, Group, App)


def find(session: Session, table: type[Row], tenant: int, key: str) -> Row | None:
    """The user, group or app of that id."""
    return session.scalars(select(table).where(table.tenant_id == tenant, table.key == key)).one_or_none()


def require(session: Session, table: type[Row], tenant: int, key: str) -> Row:
    """As `find`.

    Raises:
        NotFoundError: there is none.
    """
    row = find(session, table, tenant, key)
    if row is None:
        raise NotFoundError(f"there is no {table.__name__.lower()} {key!r}")
    return row


def put_user(session: Session, tenant: int, key: str, body: UserBody) -> UserView:
    """Makes the person exactly what `body` says."""
    row = directory.put_user(
        session,
        tenant,
        key,
        email=body.email,
        active=body.active,
        email_verified=body.email_verified,
        attributes=body.attributes,
    )
    directory.set_containers(session, tenant, f"user:{key}", body.groups)
    link(session, row, body.identities)
    return user_view(session, row)


def put_group(session: Session, tenant: int, key: str, body: GroupBody) -> GroupView:
    """Makes the group exactly what `body` says, as far as an admin states it."""
    row = directory.put_group(session, tenant, key)
    directory.set_members(session, tenant, key, [check_principal(one) for one in body.members])
    directory.set_containers(session, tenant, f"group:{key}", body.groups)
    return group_view(session, row)


def put_app(session: Session, tenant: int, key: str, body: AppBody) -> AppView:
    """Makes the app exactly what `body` says."""
    names = [check_principal(one) for one in body.acts_for]
    row = directory.put_app(
        session, tenant, key, sources=body.sources, acts_for=names, models=body.models, active=body.active
    )
    return app_view(session, row)


def end_keys(session: Session, tenant: int, app: str) -> None:
    """Revokes an app's keys: another app of that name must not inherit them."""
    ids = select(App.id).where(App.tenant_id == tenant, App.key == app)
    session.execute(
        update(ApiKey)
        .where(ApiKey.tenant_id == tenant, ApiKey.app_id.in_(ids), ApiKey.revoked_at.is_(None))
        .values(revoked_at=db_now())
    )


def user_view(session: Session, row: User) -> UserView:
    """The person with the groups that an admin put them in."""
    return UserView(
        id=row.key,
        email=row.email,
        email_verified=row.email_verified,
        active=row.active,
        attributes=row.attributes,
        groups=_containers(session, row.tenant_id, "user", row.key),
        identities=links(session, row),
    )


def group_view(session: Session, row: Group) -> GroupView:
    """The group with the members that an admin put in."""
    return GroupView(
        id=row.key,
        members=_members(session, row.tenant_id, row.key),
        groups=_containers(session, row.tenant_id, "group", row.key),
    )


def app_view(_: Session, row: App) -> AppView:
    """The app."""
    return AppView(id=row.key, sources=row.sources, acts_for=row.acts_for, models=row.models, active=row.active)


def key_views(session: Session, rows: Sequence[ApiKey]) -> list[KeyView]:
    """Keys with the apps they belong to."""
    ids = {row.app_id for row in rows}
    apps = {row.id: row.key for row in session.scalars(select(App).where(App.id.in_(ids)))}
    return [KeyView(**key_members(row, apps.get(row.app_id, ""))) for row in rows]


def key_members(row: ApiKey, app: str) -> dict[str, Any]:
    """What of a key may be shown."""
    return {
        "prefix": row.prefix,
        "app": app,
        "rights": row.rights,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
    }


def _containers(session: Session, tenant: int, kind: str, key: str) -> list[str]:
    member, container = aliased(Principal), aliased(Principal)
    statement = (
        _open(select(container.key), tenant)
        .join(container, container.id == Membership.container_id)
        .join(member, member.id == Membership.member_id)
        .where(member.tenant_id == tenant, member.kind == kind, member.key == key)
    )
    return sorted(session.scalars(statement))


def _members(session: Session, tenant: int, key: str) -> list[str]:
    member, container = aliased(Principal), aliased(Principal)
    statement = (
        _open(select(member.kind, member.key), tenant)
        .join(container, container.id == Membership.container_id)
        .join(member, member.id == Membership.member_id)
        .where(container.tenant_id == tenant, container.kind == "group", container.key == key)
    )
    return sorted(EVERYONE if kind == EVERYONE else f"{kind}:{name}" for kind, name in session.execute(statement))


def _open(columns: Any, tenant: int) -> Any:
    statement = columns.select_from(Membership)
    return statement.where(Membership.tenant_id == tenant, Membership.epoch_to.is_(None), Membership.origin == "admin")
