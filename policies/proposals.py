"""Changes of access as rows, to be tried on a copy: entries added or ended, memberships begun or ended."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.tables import Membership
from policies.directory import group_id, remove_member
from policies.entries import StatedEntry as ProposedEntry
from policies.entries import add_entry, end_entries
from policies.epoch import bump
from policies.model import check_member, check_principal
from policies.principals import intern

__all__ = ["Proposal", "ProposedEntry"]


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
            NotFoundError: a place, an entry, or a group that somebody would join or leave is not there.
            InvalidError: something named is no principal, or cannot be in a group.
        """
        for entry in self.entries:
            add_entry(session, tenant, entry)
        end_entries(session, tenant, self.without)
        for group in sorted({group for group, _ in (*self.join, *self.leave)}):
            group_id(session, tenant, group)
        for group, member in self.join:
            _join(session, tenant, group, member)
        for group, member in self.leave:
            remove_member(session, tenant, group, check_principal(member))


def _join(session: Session, tenant: int, group: str, member: str) -> None:
    ids = intern(session, tenant, [f"group:{group}", check_member(member)])
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
