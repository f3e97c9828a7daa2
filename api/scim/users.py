"""Users as a provisioner writes them: what follows for who may read is in the same transaction."""

from __future__ import annotations

import secrets
from typing import Any

from scim2_models import Context, EnterpriseUser, PatchOp
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.scim.errors import ScimError, read_strictly
from api.scim.resources import TOLERANT, ScimUser, plain
from api.scim.store import Owner, envelope, find, named, touch
from core.errors import ConflictError
from core.tables import ExternalIdentity, User
from policies import directory
from policies.identities import find_identity, take_back

_ENTERPRISE = ("department", "division", "organization", "cost_center")


def create(session: Session, owner: Owner, body: Any) -> tuple[ExternalIdentity, str]:
    """Makes a user. One whom an admin linked to this externalId is taken over, with what the admin says of them kept.

    Raises:
        ScimError: the body does not fit.
        ConflictError: the userName, externalId or address is taken.
    """
    with read_strictly():
        asked = ScimUser.model_validate(body, scim_ctx=Context.RESOURCE_CREATION_REQUEST, scim_policy=TOLERANT)
    name = asked.user_name or ""
    if not name.strip():
        raise ScimError("userName is missing", scim_type="invalidValue")
    if named(session, owner, "user", name) is not None:
        raise ConflictError("there is a user of that userName already", scim_type="uniqueness")
    row = _linked(session, owner, asked.external_id)
    if row is None:
        key = f"u-{secrets.token_hex(8)}"
        row = ExternalIdentity(tenant_id=owner.tenant, authority=owner.origin, kind="user", external_id="", body={})
    else:
        key = session.get_one(User, row.subject_id).key
    _write(session, owner, row, key, asked)
    return row, key


def replace(session: Session, owner: Owner, row: ExternalIdentity, key: str, body: Any) -> bool:
    """Makes the user what `body` says; whether that changed anything.

    Raises:
        ScimError, ConflictError: as `create`.
    """
    with read_strictly():
        asked = ScimUser.model_validate(body, scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST, scim_policy=TOLERANT)
        with TOLERANT:
            asked.replace(_standing(row, key))
    return _change(session, owner, row, key, asked)


def patch(session: Session, owner: Owner, row: ExternalIdentity, key: str, body: Any) -> bool:
    """Applies operations, all or none; whether that changed anything.

    Raises:
        ScimError, ConflictError: as `create`.
    """
    user = _standing(row, key)
    with read_strictly():
        operations = PatchOp[ScimUser].model_validate(
            body, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=TOLERANT
        )
        operations.patch(user, TOLERANT)
    return _change(session, owner, row, key, user)


def remove(session: Session, owner: Owner, key: str) -> None:
    """Takes back all that was said of a user. The row stays, not active, so that its id is never another person's.

    Raises:
        NotFoundError: there is no such user.
    """
    row = find(session, owner, "user", key)
    user = session.get_one(User, row.subject_id)
    directory.withdraw_user(session, user, owner.origin)
    directory.set_containers(session, owner.tenant, f"user:{key}", [], origin=owner.origin)
    take_back(session, row)
    session.flush()


def render(row: ExternalIdentity, key: str) -> dict[str, Any]:
    """The user as SCIM shows it."""
    return envelope(row, key)


def _standing(row: ExternalIdentity, key: str) -> ScimUser:
    return ScimUser.model_validate(envelope(row, key))


def _linked(session: Session, owner: Owner, external_id: str | None) -> ExternalIdentity | None:
    row = find_identity(session, owner.tenant, owner.origin, "user", external_id) if external_id else None
    if row is not None and row.body:
        raise ConflictError("there is a user of that externalId already", scim_type="uniqueness")
    return row


def _change(session: Session, owner: Owner, row: ExternalIdentity, key: str, asked: ScimUser) -> bool:
    if plain(asked) == row.body:
        return False
    if not (asked.user_name or "").strip():
        raise ScimError("userName is missing", scim_type="invalidValue")
    other = named(session, owner, "user", asked.user_name or "")
    if other is not None and other.id != row.id:
        raise ConflictError("there is a user of that userName already", scim_type="uniqueness")
    if asked.external_id and asked.external_id != row.external_id:
        _linked(session, owner, asked.external_id)
    _write(session, owner, row, key, asked)
    touch(row)
    session.flush()
    return True


def _write(session: Session, owner: Owner, row: ExternalIdentity, key: str, asked: ScimUser) -> None:
    email = _address(asked)
    _refuse_taken(session, owner, key, email)
    user = directory.put_user(
        session,
        owner.tenant,
        key,
        email=email,
        active=asked.active is not False,
        attributes=_attributes(asked),
        origin=owner.origin,
    )
    row.subject_id, row.name = user.id, (asked.user_name or "").casefold()
    row.external_id = asked.external_id or f"={key}"
    row.body = plain(asked)
    session.add(row)
    session.flush()


def _refuse_taken(session: Session, owner: Owner, key: str, email: str | None) -> None:
    """Two active users with one address would take it from both."""
    if email is None:
        return
    taken = session.scalars(
        select(User.id).where(
            User.tenant_id == owner.tenant, func.lower(User.email) == email, User.active, User.key != key
        )
    ).first()
    if taken is not None:
        raise ConflictError(
            "another user has that address; an admin can link them to this externalId, or take the address from them",
            scim_type="uniqueness",
        )


def _address(asked: ScimUser) -> str | None:
    """The primary address, else the first for work, else the first."""
    told = [one for one in asked.emails or () if one.value]
    told.sort(key=lambda one: (not one.primary, one.type != "work"))
    return str(told[0].value).casefold() if told else None


def _attributes(asked: ScimUser) -> dict[str, Any]:
    """What rules may read of it."""
    extension = asked[EnterpriseUser]
    found = {name: getattr(extension, name, None) for name in _ENTERPRISE} if extension else {}
    found |= {"title": asked.title, "user_type": asked.user_type}
    return {name: str(value) for name, value in found.items() if value}
