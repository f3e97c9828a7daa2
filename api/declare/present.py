"""What stands in SQL, in the same canonical bodies that documents are checked into."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from api.declare.rules import policy_bodies
from api.declare.shapes import ADMIN_APP, KINDS
from core.tables import App, ConfigObject, Directory, Group, Membership, Principal, Source, User
from policies.grants import FIRST, grant_bodies
from policies.identities import all_links
from policies.statements import ADMIN

Bodies = dict[tuple[str, str], dict[str, Any]]


def present(session: Session, tenant: int) -> Bodies:
    """The canonical body of every object of the tenant, by kind and id.

    Deleted sources, and people of whom only a directory speaks, are left out.
    """
    containers, linked = _containers(session, tenant), all_links(session, tenant)
    found: Bodies = {}
    for group in session.scalars(select(Group).where(Group.tenant_id == tenant)):
        found["Group", group.key] = {"groups": containers.get(("group", group.key), [])}
    for user in session.scalars(select(User).where(User.tenant_id == tenant)):
        if user.stated and ADMIN not in user.stated:
            continue
        said = user.stated.get(ADMIN) or {"email": user.email, "attributes": user.attributes, "active": user.active}
        found["User", user.key] = {
            "email": said["email"],
            "groups": containers.get(("user", user.key), []),
            "attributes": said["attributes"],
            "active": said["active"],
            "identities": linked.get(user.id, {}),
        }
    for app in session.scalars(select(App).where(App.tenant_id == tenant, App.key != ADMIN_APP)):
        found["App", app.key] = app_body(app)
    for one in session.scalars(select(Directory).where(Directory.tenant_id == tenant, Directory.state != "deleted")):
        found["Directory", one.key] = {"config": one.config, "schedule": one.schedule, "max_age": one.max_age_s}
    for source in session.scalars(select(Source).where(Source.tenant_id == tenant, Source.state != "deleted")):
        found["Source", source.key] = source_body(source)
    for row in session.scalars(select(ConfigObject).where(ConfigObject.tenant_id == tenant)):
        if row.kind in KINDS:
            found[row.kind, row.key] = row.body
    found |= {("Grant", key): body for key, body in grant_bodies(session, tenant).items() if key != FIRST}
    found |= {("Policy", key): body for key, body in policy_bodies(session, tenant).items()}
    return found


def app_body(app: App) -> dict[str, Any]:
    """An app as its document would say it."""
    return {
        "sources": None if app.sources is None else sorted(app.sources),
        "acts_for": sorted(app.acts_for),
        "models": None if app.models is None else sorted(app.models),
        "active": app.active,
    }


def source_body(source: Source) -> dict[str, Any]:
    """A source as its document would say it, and the folder that it is relative to."""
    return {
        "connector": source.connector,
        "config": source.config,
        "access": source.access,
        "max_access_age": source.max_access_age_s,
        "schedule": {name: cron for name, cron in source.schedule.items() if cron is not None},
        "priority": source.priority,
        "base": source.base,
    }


def fed_groups(session: Session, tenant: int) -> set[str]:
    """Keys of the groups whose members a source states; those are that source's, not a document's, to remove."""
    made = session.scalars(select(Group.key).where(Group.tenant_id == tenant, Group.origin != ADMIN))
    return set(made) | set(
        session.scalars(
            select(Principal.key)
            .join(Membership, Membership.container_id == Principal.id)
            .where(
                Membership.tenant_id == tenant,
                Membership.epoch_to.is_(None),
                Membership.origin != "admin",
                Principal.kind == "group",
            )
        )
    )


def _containers(session: Session, tenant: int) -> dict[tuple[str, str], list[str]]:
    """The groups that an admin put each user and group into, sorted."""
    member, container = aliased(Principal), aliased(Principal)
    rows = session.execute(
        select(member.kind, member.key, container.key)
        .select_from(Membership)
        .join(member, member.id == Membership.member_id)
        .join(container, container.id == Membership.container_id)
        .where(Membership.tenant_id == tenant, Membership.epoch_to.is_(None), Membership.origin == "admin")
        .order_by(container.key)
    )
    found: dict[tuple[str, str], list[str]] = {}
    for kind, key, group in rows:
        found.setdefault((kind, key), []).append(group)
    return found
