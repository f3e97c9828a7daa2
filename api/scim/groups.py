"""Groups as a provisioner writes them; members are users and groups that it wrote itself."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from scim2_models import Context, PatchOp
from scim2_models import Group as ScimGroup
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from api.scim.errors import ScimError, read_strictly
from api.scim.resources import BASE, TOLERANT, plain
from api.scim.store import Owner, envelope, find, named, touch
from core.errors import ConflictError
from core.tables import ExternalIdentity, Group, Membership, Principal, User
from policies import directory
from policies.identities import find_identity

_BATCH = 5000
_ONE_MEMBER = re.compile(r'^members\s*\[\s*value\s+eq\s+"([^"\\]*)"\s*\]$', re.IGNORECASE)
_PATCH = "urn:ietf:params:scim:api:messages:2.0:patchop"


def create(session: Session, owner: Owner, body: Any) -> tuple[ExternalIdentity, str]:
    """Makes a group. Its id is its displayName in small letters, since entries name groups by their id.

    Raises:
        ScimError: the body does not fit, or names a member that this provisioner did not make.
        ConflictError: the name or externalId is taken.
    """
    with read_strictly():
        asked = ScimGroup.model_validate(body, scim_ctx=Context.RESOURCE_CREATION_REQUEST, scim_policy=TOLERANT)
    name = asked.display_name or ""
    if not name.strip():
        raise ScimError("displayName is missing", scim_type="invalidValue")
    if named(session, owner, "group", name) is not None:
        raise ConflictError("there is a group of that displayName already", scim_type="uniqueness")
    _refuse_external(session, owner, asked.external_id, None)
    key = _key(session, owner, name)
    group = directory.put_group(session, owner.tenant, key, origin=owner.origin)
    row = ExternalIdentity(
        tenant_id=owner.tenant,
        authority=owner.origin,
        kind="group",
        external_id=asked.external_id or f"={key}",
        name=name.casefold(),
        subject_id=group.id,
        body=plain(asked),
    )
    session.add(row)
    session.flush()
    wanted = _principals(session, owner, _told(asked))
    directory.set_members(session, owner.tenant, key, wanted, origin=owner.origin)
    return row, key


def replace(session: Session, owner: Owner, row: ExternalIdentity, key: str, body: Any) -> bool:
    """Makes the group what `body` says; whether that changed anything.

    Raises:
        ScimError, ConflictError: as `create`.
    """
    with read_strictly():
        asked = ScimGroup.model_validate(body, scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST, scim_policy=TOLERANT)
    return _change(session, owner, row, key, asked)


def patch(session: Session, owner: Owner, row: ExternalIdentity, key: str, body: Any) -> bool:
    """Applies operations, all or none; whether that changed anything.

    Raises:
        ScimError, ConflictError: as `create`.
    """
    direct = _direct(body)
    if direct is not None:
        return _change_members(session, owner, row, key, direct)
    group = ScimGroup.model_validate(render(session, row, key))
    with read_strictly():
        operations = PatchOp[ScimGroup].model_validate(
            body, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=TOLERANT
        )
        operations.patch(group, TOLERANT)
    return _change(session, owner, row, key, group)


def remove(session: Session, owner: Owner, key: str) -> None:
    """Removes a group, or only this provisioner's members of one that an admin states too.

    Its name is then unknown: an allow for it gives nothing, a deny for it closes its place until an admin waives it.

    Raises:
        NotFoundError: there is no such group.
    """
    row = find(session, owner, "group", key)
    group = session.get_one(Group, row.subject_id)
    directory.set_members(session, owner.tenant, key, [], origin=owner.origin)
    directory.set_containers(session, owner.tenant, f"group:{key}", [], origin=owner.origin)
    session.delete(row)
    session.flush()
    if group.origin == owner.origin:
        directory.remove(session, owner.tenant, f"group:{key}")


def render(session: Session, row: ExternalIdentity, key: str, *, members: bool = True) -> dict[str, Any]:
    """The group as SCIM shows it."""
    told = envelope(row, key)
    if members and (found := _members(session, row, key)):
        told["members"] = found
    return told


def member_names(session: Session, row: ExternalIdentity, key: str) -> list[str]:
    """Principals that this provisioner put into a group, in the order in which they came."""
    return [f"{kind}:{name}" for kind, name in _member_rows(session, row, key)]


def _member_rows(session: Session, row: ExternalIdentity, key: str) -> list[tuple[str, str]]:
    member, container = aliased(Principal), aliased(Principal)
    rows = session.execute(
        select(member.kind, member.key)
        .select_from(Membership)
        .join(container, container.id == Membership.container_id)
        .join(member, member.id == Membership.member_id)
        .where(
            Membership.tenant_id == row.tenant_id,
            Membership.epoch_to.is_(None),
            Membership.origin == row.authority,
            container.tenant_id == row.tenant_id,
            container.kind == "group",
            container.key == key,
        )
        .order_by(Membership.id)
    )
    return [(kind, name) for kind, name in rows]


def _members(session: Session, row: ExternalIdentity, key: str) -> list[dict[str, str]]:
    kinds = {"user": ("User", "Users"), "group": ("Group", "Groups")}
    return [
        {"value": name, "type": kinds[kind][0], "$ref": f"{BASE}/{kinds[kind][1]}/{name}"}
        for kind, name in _member_rows(session, row, key)
        if kind in kinds
    ]


def _key(session: Session, owner: Owner, name: str) -> str:
    key = re.sub(r"[^a-z0-9._-]+", "-", name.casefold()).strip("-.")[:100] or f"g-{secrets.token_hex(8)}"
    taken = session.scalars(select(Group.origin).where(Group.tenant_id == owner.tenant, Group.key == key)).first()
    if taken is not None:
        raise ConflictError(
            f"group {key!r} is there already, made by {taken}; give one of the two another name", scim_type="uniqueness"
        )
    return key


def _refuse_external(session: Session, owner: Owner, external_id: str | None, row: int | None) -> None:
    held = find_identity(session, owner.tenant, owner.origin, "group", external_id) if external_id else None
    if held is not None and held.id != row:
        raise ConflictError("there is a group of that externalId already", scim_type="uniqueness")


def _change(session: Session, owner: Owner, row: ExternalIdentity, key: str, asked: ScimGroup) -> bool:
    name = asked.display_name or ""
    if not name.strip():
        raise ScimError("displayName is missing", scim_type="invalidValue")
    other = named(session, owner, "group", name)
    if other is not None and other.id != row.id:
        raise ConflictError("there is a group of that displayName already", scim_type="uniqueness")
    _refuse_external(session, owner, asked.external_id, row.id)
    wanted = set(_principals(session, owner, _told(asked)))
    before = {_name(one) for one in _members(session, row, key)}
    directory.set_members(session, owner.tenant, key, wanted, origin=owner.origin)
    if wanted == before and plain(asked) == row.body:
        return False
    row.body, row.name = plain(asked), name.casefold()
    row.external_id = asked.external_id or f"={key}"
    touch(row)
    session.flush()
    return True


def _change_members(
    session: Session, owner: Owner, row: ExternalIdentity, key: str, steps: list[tuple[str, list[Mapping[str, Any]]]]
) -> bool:
    """Members added and removed without reading those that stay; the last word on each counts."""
    wanted: dict[str, str] = {}
    for op, members in steps:
        names = _principals(session, owner, members, known=op == "add")
        wanted |= dict.fromkeys(names, op)
    add = [name for name, op in wanted.items() if op == "add"]
    drop = [name for name, op in wanted.items() if op == "remove"]
    changed = directory.change_members(session, owner.tenant, key, add=add, remove=drop, origin=owner.origin)
    if changed:
        touch(row)
        session.flush()
    return bool(changed)


def _direct(body: Any) -> list[tuple[str, list[Mapping[str, Any]]]] | None:
    """The operations, where all they do is add or remove members by their ids; None: they do something else."""
    if not isinstance(body, dict) or [str(one).lower() for one in body.get("schemas") or ()] != [_PATCH]:
        return None
    operations = body.get("Operations")
    if not isinstance(operations, list) or not operations:
        return None
    found = [_step(one) for one in operations]
    return None if any(one is None for one in found) else [one for one in found if one is not None]


def _step(operation: Any) -> tuple[str, list[Mapping[str, Any]]] | None:
    if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
        return None
    op, path, value = str(operation.get("op")).lower(), operation["path"].strip(), operation.get("value")
    one = _ONE_MEMBER.match(path)
    if op == "remove" and one and value is None:
        return op, [{"value": one[1]}]
    if path.lower() != "members" or op not in ("add", "remove") or not isinstance(value, list) or not value:
        return None
    fits = all(isinstance(each, dict) and isinstance(each.get("value"), str) for each in value)
    return (op, value) if fits else None


def _told(asked: ScimGroup) -> list[Mapping[str, Any]]:
    return [{"value": one.value, "type": one.type} for one in asked.members or () if one.value]


def _name(member: Mapping[str, str]) -> str:
    return f"{member['type'].lower()}:{member['value']}"


def _principals(
    session: Session, owner: Owner, members: Iterable[Mapping[str, Any]], *, known: bool = True
) -> list[str]:
    """Names of the members.

    Raises:
        ScimError: one of them this provisioner did not make; not asked without `known`.
    """
    told = [(str(one["value"]), str(one.get("type") or "").lower()) for one in members]
    users = _keys(session, owner, "user", [value for value, kind in told if kind != "group"])
    groups = _keys(session, owner, "group", [value for value, kind in told if kind == "group" or value not in users])
    found = []
    for value, kind in told:
        if value in users and kind != "group":
            found.append(f"user:{value}")
        elif value in groups:
            found.append(f"group:{value}")
        elif known:
            raise ScimError(f"member {value[:100]!r} is no user or group that you made", scim_type="invalidValue")
    return found


def _keys(session: Session, owner: Owner, kind: str, wanted: list[str]) -> set[str]:
    table: Any = User if kind == "user" else Group
    found: set[str] = set()
    for start in range(0, len(wanted), _BATCH):
        rows = session.scalars(
            select(table.key)
            .join(ExternalIdentity, ExternalIdentity.subject_id == table.id)
            .where(
                ExternalIdentity.tenant_id == owner.tenant,
                ExternalIdentity.authority == owner.origin,
                ExternalIdentity.kind == kind,
                table.tenant_id == owner.tenant,
                table.key.in_(wanted[start : start + _BATCH]),
            )
        )
        found.update(rows)
    return found
