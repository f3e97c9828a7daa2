"""Changes of access as rows, to be tried on a copy: entries added or ended, memberships begun or ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from core.tables import Ace, AclNode, Membership, Source
from policies.directory import remove_member
from policies.epoch import bump
from policies.model import check_principal
from policies.principals import intern


@dataclass(frozen=True, slots=True)
class ProposedEntry:
    """An admin's entry at a place, named `source:key of the place`; `source:` is the source's root."""

    place: str
    principal: str
    effect: Literal["allow", "deny"] = "allow"
    app: str | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """Rows to try.

    Attributes:
        entries: entries that would be added; `without`: ids of entries that would end.
        join, leave: pairs of a group's id and a principal that would be in it, or no longer.
    """

    entries: tuple[ProposedEntry, ...] = ()
    without: tuple[int, ...] = ()
    join: tuple[tuple[str, str], ...] = ()
    leave: tuple[tuple[str, str], ...] = ()

    def make(self, session: Session, tenant: int) -> None:
        """Makes the change in this session, which should be one on a copy.

        Raises:
            NotFoundError: a place or an entry is not there.
            InvalidError: something named is no principal.
        """
        for entry in self.entries:
            _add(session, tenant, entry)
        _end(session, tenant, self.without)
        for group, member in self.join:
            _join(session, tenant, group, member)
        for group, member in self.leave:
            remove_member(session, tenant, group, check_principal(member))


def _add(session: Session, tenant: int, entry: ProposedEntry) -> None:
    names = [check_principal(entry.principal), *([f"app:{entry.app}"] if entry.app else [])]
    ids = intern(session, tenant, names)
    session.add(
        Ace(
            tenant_id=tenant,
            node_id=_node(session, tenant, entry.place),
            principal_id=ids[entry.principal],
            effect=entry.effect,
            origin="admin",
            app_id=ids[f"app:{entry.app}"] if entry.app else None,
            epoch_from=bump(session, tenant),
        )
    )
    session.flush()


def _node(session: Session, tenant: int, place: str) -> int:
    source, _, key = place.partition(":")
    found = session.scalar(
        select(AclNode.id)
        .join(Source, Source.id == AclNode.source_id)
        .where(AclNode.tenant_id == tenant, Source.key == source, AclNode.key == key)
    )
    if found is None:
        raise NotFoundError(f"there is no place {place!r}; write source:key, as in files:hr, or files: for the root")
    return found


def _end(session: Session, tenant: int, ids: Iterable[int]) -> None:
    for id_ in ids:
        row = session.get(Ace, id_)
        if row is None or row.tenant_id != tenant or row.epoch_to is not None:
            raise NotFoundError(f"there is no entry {id_} in force")
        row.epoch_to = bump(session, tenant)
    session.flush()


def _join(session: Session, tenant: int, group: str, member: str) -> None:
    ids = intern(session, tenant, [f"group:{group}", check_principal(member)])
    session.add(
        Membership(
            tenant_id=tenant,
            container_id=ids[f"group:{group}"],
            member_id=ids[member],
            origin="simulated",
            epoch_from=bump(session, tenant),
        )
    )
    session.flush()
