"""Users, groups and apps: every change resolves the names it touches and raises the epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from core.errors import InvalidError, NotFoundError
from core.ids import is_key
from core.tables import App, EpochTime, ExternalIdentity, Group, Membership, PolicyEpoch, Principal, Tenant, User
from policies.epoch import bump, remember
from policies.model import EVERYONE, check_member
from policies.principals import intern, resolve
from policies.statements import ADMIN, merged, statement

_DECISIVE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "user": ("key", "email", "active", "email_verified", "attributes", "stated"),
        "group": ("key", "origin"),
        "app": ("key", "sources", "acts_for", "models", "active"),
    }
)
"""What is kept of a row that goes: all that decided, and its name, which no row tells any more."""


def put_tenant(session: Session, key: str) -> Tenant:
    """The tenant of that key, made with its epoch and `everyone` where it is new."""
    tenant = session.scalars(select(Tenant).where(Tenant.key == key)).one_or_none()
    if tenant is None:
        tenant = Tenant(key=_key("tenant", key))
        session.add(tenant)
        session.flush()
        session.add_all([PolicyEpoch(tenant_id=tenant.id, epoch=1), EpochTime(tenant_id=tenant.id, epoch=1)])
        session.flush()
        intern(session, tenant.id, [EVERYONE])
    return tenant


def tenant_id(session: Session, key: str) -> int:
    """Id of the tenant of that key.

    Raises:
        NotFoundError: there is none.
    """
    found = session.scalars(select(Tenant.id).where(Tenant.key == key)).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no tenant {key!r}; `ambit init` makes one")
    return found


def group_id(session: Session, tenant: int, key: str) -> int:
    """Id of the group of that key.

    Raises:
        NotFoundError: there is none.
    """
    found = session.scalars(select(Group.id).where(Group.tenant_id == tenant, Group.key == key)).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no group {key!r}; `ambit groups list` shows them")
    return found


def put_user(
    session: Session,
    tenant: int,
    key: str,
    *,
    email: str | None = None,
    active: bool = True,
    email_verified: bool = True,
    attributes: dict[str, Any] | None = None,
    origin: str = ADMIN,
) -> User:
    """Makes or changes a user as far as `origin` says; what others said of them stays.

    An address in use by two active users means neither of them.
    """
    said = statement(email=email, active=active, email_verified=email_verified, attributes=attributes)
    user = session.scalars(select(User).where(User.tenant_id == tenant, User.key == key)).one_or_none()
    if user is None:
        stated = {origin: said}
        user = User(
            tenant_id=tenant,
            key=_key("user", key),
            epoch_from=bump(session, tenant),
            stated=stated,
            **merged(stated),
        )
        session.add(user)
        session.flush()
        _resolve_user(session, user, {user.email})
        return user
    settle_user(session, user, {**_stated(user), origin: said})
    return user


def withdraw_user(session: Session, user: User, origin: str) -> None:
    """Takes back what `origin` said of a user. One of whom nobody else speaks stays, not active, so that the id is
    never another person's.
    """
    stated = {one: said for one, said in _stated(user).items() if one != origin}
    gone = {origin: statement(email=None, active=False, email_verified=False, attributes=None)}
    settle_user(session, user, stated or gone)


def settle_user(session: Session, user: User, stated: dict[str, Any]) -> None:
    """Makes the user what follows from `stated`; where nothing changes, nothing is written."""
    wanted = {**merged(stated), "stated": stated}
    before = {name: getattr(user, name) for name in wanted}
    if before == wanted:
        return
    remember(session, user.tenant_id, "user", user, before)
    for name, value in wanted.items():
        setattr(user, name, value)
    session.flush()
    if {before["email"], before["active"], before["email_verified"]} != {
        wanted["email"],
        wanted["active"],
        wanted["email_verified"],
    }:
        _resolve_user(session, user, {before["email"], user.email})


def _stated(user: User) -> dict[str, Any]:
    """What was said of a user; a row from elsewhere counts as an admin's."""
    own = {name: getattr(user, name) for name in ("email", "email_verified", "active", "attributes")}
    return user.stated or {ADMIN: own}


def _resolve_user(session: Session, user: User, addresses: set[str | None]) -> None:
    names = [f"user:{user.key}", *(f"user:{address}" for address in sorted(one for one in addresses if one))]
    intern(session, user.tenant_id, names)
    for name in names:
        resolve(session, user.tenant_id, "user", name.removeprefix("user:"))


def put_group(session: Session, tenant: int, key: str, *, origin: str = ADMIN) -> Group:
    """Makes a group, or finds it; one that an admin states is the admin's from then on."""
    group = session.scalars(select(Group).where(Group.tenant_id == tenant, Group.key == key)).one_or_none()
    if group is None:
        group = Group(tenant_id=tenant, key=_key("group", key), origin=origin, epoch_from=bump(session, tenant))
        session.add(group)
        session.flush()
        intern(session, tenant, [f"group:{key}"])
        resolve(session, tenant, "group", key)
    elif origin == ADMIN != group.origin:
        remember(session, tenant, "group", group, {"key": key, "origin": group.origin})
        group.origin = ADMIN
        session.flush()
    return group


def put_app(
    session: Session,
    tenant: int,
    key: str,
    *,
    sources: list[str] | None = None,
    acts_for: list[str] | None = None,
    models: list[str] | None = None,
    active: bool = True,
) -> App:
    """Makes or changes an app."""
    app = session.scalars(select(App).where(App.tenant_id == tenant, App.key == key)).one_or_none()
    wanted: dict[str, Any] = {"sources": sources, "acts_for": acts_for or [], "models": models, "active": active}
    intern(session, tenant, wanted["acts_for"])
    if app is None:
        app = App(tenant_id=tenant, key=_key("app", key), epoch_from=bump(session, tenant), **wanted)
        session.add(app)
    else:
        before = {name: getattr(app, name) for name in wanted}
        if before == wanted:
            return app
        remember(session, tenant, "app", app, before)
        for name, value in wanted.items():
            setattr(app, name, value)
    session.flush()
    intern(session, tenant, [f"app:{key}"])
    resolve(session, tenant, "app", key)
    return app


def remove(session: Session, tenant: int, name: str) -> None:
    """Removes a user, group or app by its principal name; its memberships close and its entries lose their power.

    Raises:
        NotFoundError: there is nothing of that name.
    """
    kind, _, key = name.partition(":")
    table: Any = {"user": User, "group": Group, "app": App}.get(kind)
    row = table and session.scalars(select(table).where(table.tenant_id == tenant, table.key == key)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no {name}")
    remember(session, tenant, kind, row, {name: getattr(row, name) for name in _DECISIVE[kind]})
    ids = session.scalars(
        select(Principal.id).where(
            Principal.tenant_id == tenant, Principal.kind == kind, Principal.subject_id == row.id
        )
    ).all()
    _close(session, tenant, Membership.member_id.in_(ids) | Membership.container_id.in_(ids))
    email = row.email if kind == "user" else None
    session.execute(
        delete(ExternalIdentity).where(
            ExternalIdentity.tenant_id == tenant, ExternalIdentity.kind == kind, ExternalIdentity.subject_id == row.id
        )
    )
    session.delete(row)
    session.flush()
    for one in (key, email):
        if one:
            resolve(session, tenant, kind, one)


def set_containers(session: Session, tenant: int, member: str, groups: Iterable[str], *, origin: str = "admin") -> None:
    """Makes `groups` (keys) the exact groups that directly hold `member`, as far as `origin` says.

    Raises:
        InvalidError: `member` cannot be in a group.
    """
    check_member(member)
    member_id = intern(session, tenant, [member])[member]
    wanted = set(intern(session, tenant, [f"group:{key}" for key in groups]).values())
    _align(session, tenant, origin, Membership.member_id == member_id, {(one, member_id) for one in wanted})


def set_members(session: Session, tenant: int, group: str, members: Iterable[str], *, origin: str = "admin") -> None:
    """Makes `members` (principal names) the exact direct members of a group, as far as `origin` says.

    Raises:
        InvalidError: an admin names what cannot be in a group. What a source so names is kept, without any power.
    """
    members = list(members)
    if origin == "admin":
        for one in members:
            check_member(one)
    container = intern(session, tenant, [f"group:{group}"])[f"group:{group}"]
    wanted = set(intern(session, tenant, members).values())
    _align(session, tenant, origin, Membership.container_id == container, {(container, one) for one in wanted})


def add_member(session: Session, tenant: int, group: str, member: str) -> bool:
    """Puts `member` into a group, as an admin; False where an admin has done so already.

    Raises:
        InvalidError: `member` cannot be in a group.
    """
    ids = intern(session, tenant, [f"group:{group}", check_member(member)])
    pair = (ids[f"group:{group}"], ids[member])
    where = (Membership.container_id == pair[0]) & (Membership.member_id == pair[1])
    return _align(session, tenant, "admin", where, {pair})


def remove_member(session: Session, tenant: int, group: str, member: str) -> bool:
    """Takes `member` out of a group, whoever put it there; False where it was not in it."""
    ids = intern(session, tenant, [f"group:{group}", member])
    return _close(
        session,
        tenant,
        (Membership.container_id == ids[f"group:{group}"]) & (Membership.member_id == ids[member]),
    )


def _align(session: Session, tenant: int, origin: str, where: Any, wanted: set[tuple[int, int]]) -> bool:
    rows = session.scalars(
        select(Membership).where(
            Membership.tenant_id == tenant, Membership.epoch_to.is_(None), Membership.origin == origin, where
        )
    ).all()
    present = {(row.container_id, row.member_id): row for row in rows}
    if set(present) == wanted:
        return False
    epoch = bump(session, tenant)
    for pair, row in present.items():
        if pair not in wanted:
            row.epoch_to = epoch
    session.flush()
    _join(session, tenant, wanted - set(present), origin, epoch)
    return True


def _join(session: Session, tenant: int, pairs: Iterable[tuple[int, int]], origin: str, epoch: int) -> None:
    """Writes new memberships, of which there may be thousands."""
    rows = [
        {"tenant_id": tenant, "container_id": one, "member_id": member, "origin": origin, "epoch_from": epoch}
        for one, member in sorted(pairs)
    ]
    if rows:
        session.execute(insert(Membership), rows)


def change_members(
    session: Session, tenant: int, group: str, *, add: Iterable[str] = (), remove: Iterable[str] = (), origin: str
) -> int:
    """Puts principals into a group and takes others out, as far as `origin` says; returns how many that changed."""
    name = f"group:{group}"
    ids = intern(session, tenant, [name, *add, *remove])
    container = ids[name]
    rows = session.scalars(
        select(Membership).where(
            Membership.tenant_id == tenant,
            Membership.epoch_to.is_(None),
            Membership.origin == origin,
            Membership.container_id == container,
        )
    ).all()
    present = {row.member_id: row for row in rows}
    joining = {ids[one] for one in add} - set(present)
    leaving = {ids[one] for one in remove} & set(present)
    if joining or leaving:
        epoch = bump(session, tenant)
        for one in leaving:
            present[one].epoch_to = epoch
        session.flush()
        _join(session, tenant, {(container, one) for one in joining}, origin, epoch)
    return len(joining) + len(leaving)


def _close(session: Session, tenant: int, where: Any) -> bool:
    rows = session.scalars(
        select(Membership).where(Membership.tenant_id == tenant, Membership.epoch_to.is_(None), where)
    ).all()
    for row in rows:
        row.epoch_to = bump(session, tenant)
    session.flush()
    return bool(rows)


def _key(kind: str, key: str) -> str:
    if not is_key(key):
        raise InvalidError(f"{kind} id {key!r} may hold only a-z, 0-9, '.', '_' and '-'")
    return key
