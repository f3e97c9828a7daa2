"""What a provisioner states of a user or group, as the audit keeps it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from api.scim.groups import member_names
from core.tables import ExternalIdentity, User

Stated = dict[str, Any]
_MEMBERS = "members"


def stated(session: Session, row: ExternalIdentity, key: str) -> Stated:
    """Of a user what decisions read of it, of a group its name and members."""
    told: Stated = {"name": row.name, "external_id": row.external_id}
    if row.kind == "group":
        return {**told, _MEMBERS: member_names(session, row, key)}
    return {**told, **session.get_one(User, row.subject_id).stated.get(row.authority, {})}


def differing(before: Stated | None, after: Stated | None) -> tuple[Stated | None, Stated | None]:
    """Both, of members only those that came or went: of thousands, a change mostly touches a few."""
    if before is None or after is None or _MEMBERS not in before:
        return before, after
    same = set(before[_MEMBERS]) & set(after[_MEMBERS])
    return tuple(  # type: ignore[return-value]  # two of them
        {**one, _MEMBERS: [name for name in one[_MEMBERS] if name not in same]} for one in (before, after)
    )
