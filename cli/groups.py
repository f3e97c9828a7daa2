"""`ambit groups`: who is in which group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.configure import told_cycles
from cli.context import Context, command
from cli.store import Store, done, opened
from core.errors import NotFoundError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

GROUP = Annotated[str, typer.Argument(help="The group's id.")]
PRINCIPAL = Annotated[str, typer.Argument(help="user:<id or e-mail> or group:<id>; a bare id means a user.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Look at groups and change who is in them.", no_args_is_help=True)
    command(group, "list")(list_)
    command(group, "add")(add)
    command(group, "remove")(remove)
    app.add_typer(group, name="groups")


def list_(context: Context) -> None:
    """List the groups with their direct members."""
    from rich.text import Text

    with opened(context) as store, store.db.read() as session:
        data = _members(session, store.tenant)

    def show(_: object) -> None:
        for one, members in data.items():
            context.out.print(Text(f"{one}: {', '.join(members) or 'nobody'}"))

    context.emit({"groups": [{"id": one, "members": members} for one, members in data.items()]}, show)


def add(context: Context, group: GROUP, principal: PRINCIPAL) -> None:
    """Put a person or a group into a group; it holds from the next query on."""
    _change(context, group, principal, joined=True)


def remove(context: Context, group: GROUP, principal: PRINCIPAL) -> None:
    """Take a person or a group out of a group; it holds from the next query on."""
    _change(context, group, principal, joined=False)


def _change(context: Context, group: str, principal: str, *, joined: bool) -> None:
    name = principal if ":" in principal else f"user:{principal}"
    with opened(context) as store:
        with store.db.read() as session:
            _check(session, store, group, name)
        changed = change_membership(store, group, name, joined=joined)
        if joined and name.startswith("group:"):
            with store.db.read() as session:
                told_cycles(context, session, store)
    data = {"group": group, "member": name, "changed": changed}
    already = "now" if changed else "already"
    context.emit(
        data, lambda out: out.print(f"{name} is {already} {'in' if joined else 'out of'} {group}", markup=False)
    )


def change_membership(store: Store, group: str, name: str, *, joined: bool) -> bool:
    """Puts a principal into a group or takes it out, recorded in the audit; False where it was so already."""
    return bool(done(store, "group.join" if joined else "group.leave", group=group, member=name).told)


def _check(session: Session, store: Store, group: str, name: str) -> None:
    from sqlalchemy import select

    from core.errors import InvalidError
    from core.tables import Group, User
    from policies.directory import group_id
    from policies.model import check_member
    from policies.principals import split

    group_id(session, store.tenant, group)
    kind, key = split(check_member(name))
    if kind not in ("user", "group"):
        raise InvalidError(f"{name} is nobody to add; write user:<id> or group:<id>")
    table = User if kind == "user" else Group
    column = User.email if "@" in key and kind == "user" else table.key
    if session.scalars(select(table.id).where(table.tenant_id == store.tenant, column == key)).first() is None:
        raise NotFoundError(f"there is no {name}; `ambit apply` adds people and groups")


def _members(session: Session, tenant: int, *, origin: str | None = None) -> dict[str, list[str]]:
    """Direct members of every group, by group."""
    from sqlalchemy import select
    from sqlalchemy.orm import aliased

    from core.tables import Group, Membership, Principal

    member, container = aliased(Principal), aliased(Principal)
    rows = session.execute(
        select(container.key, member.kind, member.key)
        .select_from(Membership)
        .join(member, member.id == Membership.member_id)
        .join(container, container.id == Membership.container_id)
        .where(
            Membership.tenant_id == tenant,
            Membership.epoch_to.is_(None),
            *([Membership.origin == origin] if origin else []),
        )
    )
    groups = session.scalars(select(Group.key).where(Group.tenant_id == tenant).order_by(Group.key))
    found: dict[str, list[str]] = {one: [] for one in groups}
    for group, kind, key in rows:
        found.setdefault(group, []).append(kind if kind == "everyone" else f"{kind}:{key}")
    return {group: sorted(set(members)) for group, members in found.items()}
