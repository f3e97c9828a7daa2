"""Takes a directory's users and groups over, in the caller's one transaction."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import db_now
from core.errors import AmbitError
from core.tables import Directory, ExternalIdentity, Group, User
from ingest.directories.snapshot import DirectoryGroup, DirectoryUser, Snapshot
from policies import directory as people
from policies.identities import take_back


class DirectoryHeldError(AmbitError):
    """A sync would remove more of a directory than the deletion guard lets pass, so nothing of it was taken over."""

    code = "directory_held"
    status = 409
    title = "Directory sync held"


@dataclass(slots=True)
class Counts:
    """What a sync found and changed. `taken` are names that could not be taken over, since another has them."""

    users: int = 0
    groups: int = 0
    removed_users: int = 0
    removed_groups: int = 0
    unknown_members: int = 0
    taken: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Guard:
    """The share of a directory, and the number, that one sync may remove; never all of it."""

    share: float
    least: int

    def check(self, what: str, standing: int, gone: int) -> None:
        """Refuses a removal above both, and of all there is.

        Raises:
            DirectoryHeldError: it is.
        """
        if gone and (gone == standing or (gone > self.least and gone > self.share * standing)):
            raise DirectoryHeldError(
                f"{gone} of {standing} {what} are missing; look whether the directory was read whole, then approve it"
            )


def apply(session: Session, row: Directory, found: Snapshot, guard: Guard | None) -> Counts:
    """Makes what was read stand; without a guard however much that removes.

    Raises:
        DirectoryHeldError: the guard refuses it.
    """
    return _Applying(session, row).run(found, guard)


class _Applying:
    def __init__(self, session: Session, row: Directory) -> None:
        self._session, self._tenant, self._origin = session, row.tenant_id, row.origin
        self._counts = Counts()
        self._users = self._standing("user", User)
        self._groups = self._standing("group", Group)
        self._addresses = self._owners()

    def run(self, found: Snapshot, guard: Guard | None) -> Counts:
        """Users first, since groups name them."""
        gone_users = set(self._written(self._users)) - {one.id for one in found.users}
        gone_groups = set(self._written(self._groups)) - {one.id for one in found.groups}
        if guard is not None:
            guard.check("users", len(self._written(self._users)), len(gone_users))
            guard.check("groups", len(self._written(self._groups)), len(gone_groups))
        for id_ in sorted(gone_users):
            self._remove_user(id_)
        for id_ in sorted(gone_groups):
            self._remove_group(id_)
        names = {one.dn: f"user:{self._put_user(one)}" for one in found.users}
        kept = {one.dn: key for one in found.groups if (key := self._put_group(one)) is not None}
        names |= {dn: f"group:{key}" for dn, key in kept.items()}
        for one in found.groups:
            if one.dn in kept:
                self._set_members(kept[one.dn], one.members, names)
        self._counts.users, self._counts.groups = len(found.users), len(kept)
        self._counts.removed_users, self._counts.removed_groups = len(gone_users), len(gone_groups)
        self._session.flush()
        return self._counts

    def _standing(self, kind: str, table: Any) -> dict[str, tuple[ExternalIdentity, str]]:
        rows = self._session.execute(
            select(ExternalIdentity, table.key)
            .join(table, table.id == ExternalIdentity.subject_id)
            .where(
                ExternalIdentity.tenant_id == self._tenant,
                ExternalIdentity.authority == self._origin,
                ExternalIdentity.kind == kind,
                table.tenant_id == self._tenant,
            )
        )
        return {row.external_id: (row, key) for row, key in rows}

    @staticmethod
    def _written(standing: Mapping[str, tuple[ExternalIdentity, str]]) -> list[str]:
        """Ids that an earlier sync wrote, without links of an admin that wait for their first."""
        return [id_ for id_, (row, _) in standing.items() if row.body]

    def _owners(self) -> dict[str, str]:
        """Which active user has each address."""
        rows = self._session.execute(
            select(User.email, User.key).where(User.tenant_id == self._tenant, User.active, User.email.is_not(None))
        )
        return {email: key for email, key in rows if email}

    def _put_user(self, one: DirectoryUser) -> str:
        row, key = self._users.get(one.id, (None, f"u-{secrets.token_hex(8)}"))
        email = one.email.casefold() if one.email else None
        if email is not None and one.active and self._addresses.setdefault(email, key) != key:
            self._counts.taken.append(email)
            email = None
        user = people.put_user(
            self._session,
            self._tenant,
            key,
            email=email,
            active=one.active,
            attributes=dict(one.attributes),
            origin=self._origin,
        )
        self._note(row, "user", one.id, one.dn, user.id)
        return key

    def _put_group(self, one: DirectoryGroup) -> str | None:
        row, key = self._groups.get(one.id, (None, ""))
        if row is None:
            key = re.sub(r"[^a-z0-9._-]+", "-", one.name.casefold()).strip("-.")[:100]
            statement = select(Group.id).where(Group.tenant_id == self._tenant, Group.key == key)
            if not key or self._session.scalars(statement).first() is not None:
                self._counts.taken.append(one.name)
                return None
        group = people.put_group(self._session, self._tenant, key, origin=self._origin)
        self._note(row, "group", one.id, one.dn, group.id)
        return key

    def _set_members(self, key: str, members: Iterable[str], names: Mapping[str, str]) -> None:
        known = [names[dn] for dn in members if dn in names]
        self._counts.unknown_members += sum(dn not in names for dn in members)
        people.set_members(self._session, self._tenant, key, known, origin=self._origin)

    def _note(self, row: ExternalIdentity | None, kind: str, id_: str, dn: str, subject: int) -> None:
        if row is None:
            row = ExternalIdentity(
                tenant_id=self._tenant, authority=self._origin, kind=kind, external_id=id_, subject_id=subject
            )
            self._session.add(row)
        if row.name != dn or not row.body:
            row.name, row.body, row.modified_at = dn, {"dn": dn}, db_now()

    def _remove_user(self, id_: str) -> None:
        row, key = self._users.pop(id_)
        user = self._session.get_one(User, row.subject_id)
        self._addresses = {email: owner for email, owner in self._addresses.items() if owner != key}
        people.withdraw_user(self._session, user, self._origin)
        people.set_containers(self._session, self._tenant, f"user:{key}", [], origin=self._origin)
        take_back(self._session, row)

    def _remove_group(self, id_: str) -> None:
        row, key = self._groups.pop(id_)
        group = self._session.get_one(Group, row.subject_id)
        people.set_members(self._session, self._tenant, key, [], origin=self._origin)
        people.set_containers(self._session, self._tenant, f"group:{key}", [], origin=self._origin)
        self._session.delete(row)
        self._session.flush()
        if group.origin == self._origin:
            people.remove(self._session, self._tenant, f"group:{key}")


def withdraw(session: Session, row: Directory) -> None:
    """Takes back everything that a directory said, as where it is deleted."""
    apply(session, row, Snapshot((), ()), None)
