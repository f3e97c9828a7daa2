"""What other systems call users and groups: stable ids, each within the authority that gave it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import ConflictError
from core.tables import ExternalIdentity, Group, User


def user_of(session: Session, tenant: int, authorities: Iterable[str], external_id: str) -> User | None:
    """The one user whom these authorities mean by an id; None for none, and where they mean different ones."""
    rows = session.scalars(
        select(User)
        .join(ExternalIdentity, ExternalIdentity.subject_id == User.id)
        .where(
            ExternalIdentity.tenant_id == tenant,
            ExternalIdentity.kind == "user",
            ExternalIdentity.authority.in_(sorted(authorities)),
            ExternalIdentity.external_id == external_id,
            User.tenant_id == tenant,
        )
        .distinct()
    ).all()
    return rows[0] if len(rows) == 1 else None


def groups_of(session: Session, tenant: int, authority: str, external_ids: Iterable[str]) -> set[str]:
    """Keys of the groups that an authority means by some ids."""
    return set(
        session.scalars(
            select(Group.key)
            .join(ExternalIdentity, ExternalIdentity.subject_id == Group.id)
            .where(
                ExternalIdentity.tenant_id == tenant,
                ExternalIdentity.kind == "group",
                ExternalIdentity.authority == authority,
                ExternalIdentity.external_id.in_(sorted(set(external_ids))),
                Group.tenant_id == tenant,
            )
        )
    )


def find_identity(
    session: Session, tenant: int, authority: str, kind: str, external_id: str
) -> ExternalIdentity | None:
    """What stands under an id."""
    return session.scalars(
        select(ExternalIdentity).where(
            ExternalIdentity.tenant_id == tenant,
            ExternalIdentity.authority == authority,
            ExternalIdentity.kind == kind,
            ExternalIdentity.external_id == external_id,
        )
    ).one_or_none()


def link(session: Session, user: User, identities: Mapping[str, str]) -> bool:
    """Makes `identities` (an id by authority) all that an admin links a user to; whether that changed anything.

    Ids that SCIM or LDAP gave stay, since those are theirs to take back.

    Raises:
        ConflictError: an id is another user's.
    """
    rows = session.scalars(
        select(ExternalIdentity).where(
            ExternalIdentity.tenant_id == user.tenant_id,
            ExternalIdentity.kind == "user",
            ExternalIdentity.subject_id == user.id,
        )
    ).all()
    mine = {row.authority: row for row in rows if row.linked}
    changed = False
    for authority, row in mine.items():
        if identities.get(authority) != row.external_id:
            unlink(session, row)
            changed = True
    session.flush()
    for authority, external_id in identities.items():
        held = find_identity(session, user.tenant_id, authority, "user", external_id)
        if held is not None and held.subject_id != user.id:
            raise ConflictError(f"{external_id!r} of {authority} is another user's; unlink it there first")
        if held is None or not held.linked:
            _add_link(session, user, authority, external_id, held)
            changed = True
    session.flush()
    return changed


def _add_link(session: Session, user: User, authority: str, external_id: str, held: ExternalIdentity | None) -> None:
    if held is None:
        held = ExternalIdentity(
            tenant_id=user.tenant_id, authority=authority, kind="user", external_id=external_id, subject_id=user.id
        )
        session.add(held)
    held.linked = True


def unlink(session: Session, row: ExternalIdentity) -> None:
    """Ends an admin's link; what the authority itself wrote under that id stays."""
    row.linked = False
    if not row.body:
        session.delete(row)


def take_back(session: Session, row: ExternalIdentity) -> None:
    """Ends what an authority wrote under an id; an admin's link to it stays."""
    row.body, row.name = {}, ""
    if not row.linked:
        session.delete(row)


def links(session: Session, user: User) -> dict[str, str]:
    """The ids that an admin linked a user to, by authority."""
    rows = session.scalars(
        select(ExternalIdentity).where(
            ExternalIdentity.tenant_id == user.tenant_id,
            ExternalIdentity.kind == "user",
            ExternalIdentity.subject_id == user.id,
        )
    )
    return {row.authority: row.external_id for row in rows if row.linked}


def all_links(session: Session, tenant: int) -> dict[int, dict[str, str]]:
    """As `links`, for every user of a tenant that has any."""
    rows = session.scalars(
        select(ExternalIdentity).where(ExternalIdentity.tenant_id == tenant, ExternalIdentity.kind == "user")
    )
    found: dict[int, dict[str, str]] = {}
    for row in rows:
        if row.linked:
            found.setdefault(row.subject_id, {})[row.authority] = row.external_id
    return found
