"""Principals: interned names, whom they mean now, and everything a person is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import String, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from core.db import insert_new
from core.prepared import Prepared
from core.tables import App, Group, Membership, Principal, User
from policies.model import EVERYONE, check_principal


def split(text: str) -> tuple[str, str]:
    """Kind and key of a principal's name.

    Raises:
        InvalidError: it names none.
    """
    check_principal(text)
    if text == EVERYONE:
        return EVERYONE, EVERYONE
    kind, _, key = text.partition(":")
    return kind, key.casefold() if kind == "user" and "@" in key else key


def intern(session: Session, tenant: int, names: Iterable[str]) -> dict[str, int]:
    """The principal id of each name, made where it is new; a new name is resolved at once."""
    wanted = {name: split(name) for name in names}
    found = _load(session, tenant, set(wanted.values()))
    missing = sorted(set(wanted.values()) - set(found))
    if missing:
        rows = [{"tenant_id": tenant, "kind": kind, "key": key} for kind, key in missing]
        insert_new(session, Principal, rows)
        found |= _load(session, tenant, set(missing))
        for kind, key in missing:
            resolve(session, tenant, kind, key)
    return {name: found[pair] for name, pair in wanted.items()}


_OF_KIND = select(Principal.key, Principal.id).where(
    Principal.tenant_id == bindparam("tenant"),
    Principal.kind == bindparam("kind"),
    Principal.key.in_(bindparam("keys", expanding=True)),
)


_NAMED = Prepared(
    select(Principal.id).where(
        Principal.tenant_id == bindparam("tenant"),
        Principal.kind == bindparam("kind"),
        Principal.key == bindparam("key"),
    )
)
_FEW = 4
"""Names that are looked up one by one, which is quicker for so few."""


def named(session: Session, tenant: int, kind: str, key: str) -> int | None:
    """The id of a principal; None where nothing has named it yet."""
    found = _NAMED.first(session, tenant=tenant, kind=kind, key=key)
    return None if found is None else found.id


def _load(session: Session, tenant: int, pairs: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    if len(pairs) <= _FEW:
        each = {pair: named(session, tenant, *pair) for pair in pairs}
        return {pair: id_ for pair, id_ in each.items() if id_ is not None}
    found: dict[tuple[str, str], int] = {}
    for kind in {kind for kind, _ in pairs}:
        keys = [key for one, key in pairs if one == kind]
        for start in range(0, len(keys), 5000):
            asked = {"tenant": tenant, "kind": kind, "keys": keys[start : start + 5000]}
            found |= {(kind, key): id_ for key, id_ in session.execute(_OF_KIND, asked)}
    return found


def resolve(session: Session, tenant: int, kind: str, key: str) -> None:
    """Points a principal at whom it means now, or at nobody."""
    session.execute(
        update(Principal)
        .where(Principal.tenant_id == tenant, Principal.kind == kind, Principal.key == key)
        .values(subject_id=_subject(session, tenant, kind, key))
    )


def _subject(session: Session, tenant: int, kind: str, key: str) -> int | None:
    if kind == "user" and "@" in key:
        return _by_email(session, tenant, key)
    for name, table in (("user", User), ("group", Group), ("app", App)):
        if kind == name:
            found: int | None = session.execute(
                select(table.id).where(table.tenant_id == tenant, table.key == key)
            ).scalar_one_or_none()
            return found
    return None


def _by_email(session: Session, tenant: int, email: str) -> int | None:
    """The one active user with this verified address; None where there is none or more than one."""
    found = session.scalars(
        select(User.id).where(
            User.tenant_id == tenant, func.lower(User.email) == email, User.active, User.email_verified
        )
    ).all()
    return found[0] if len(found) == 1 else None


_EVERYTHING = Prepared(
    text(
        """
        WITH RECURSIVE mine(id) AS (
            SELECT id FROM principal WHERE tenant_id = :tenant AND kind = 'user' AND subject_id = :user
            UNION
            SELECT id FROM principal WHERE tenant_id = :tenant AND kind = 'everyone'
            UNION
            SELECT m.container_id
            FROM mine CROSS JOIN membership AS m CROSS JOIN principal AS p
            WHERE m.tenant_id = :tenant AND m.member_id = mine.id AND m.epoch_to IS NULL
                AND p.id = m.container_id AND p.subject_id IS NOT NULL
        )
        SELECT id FROM mine
        """
    ).columns(Principal.id)
)
"""A person's own names, then upwards through groups that exist. `CROSS JOIN` keeps SQLite from turning the join round
and reading every membership of the tenant for each group."""


_WITHOUT = text(
    """
    WITH RECURSIVE mine(id) AS (
        SELECT id FROM principal WHERE tenant_id = :tenant AND kind = 'user' AND subject_id = :user
        UNION
        SELECT id FROM principal WHERE tenant_id = :tenant AND kind = 'everyone'
        UNION
        SELECT id FROM principal WHERE tenant_id = :tenant AND kind = 'group' AND subject_id IS NOT NULL
            AND key IN :claimed
        UNION
        SELECT m.container_id
        FROM mine CROSS JOIN membership AS m CROSS JOIN principal AS p
        WHERE m.tenant_id = :tenant AND m.member_id = mine.id AND m.epoch_to IS NULL AND m.origin NOT IN :stale
            AND p.id = m.container_id AND p.subject_id IS NOT NULL
    )
    SELECT id FROM mine
    """
).bindparams(bindparam("claimed", expanding=True, type_=String()), bindparam("stale", expanding=True, type_=String()))
"""The same with groups that a token claims, and without the memberships of some origins."""


def of_user(
    session: Session, tenant: int, user_id: int, *, claimed: Sequence[str] = (), stale: Collection[str] = ()
) -> frozenset[int]:
    """Every principal an active user is: id, e-mail, `everyone`, and all groups, to any depth, cycles included.

    Args:
        claimed: keys of groups that a token puts the user into.
        stale: origins whose memberships do not count.
    """
    if not claimed and not stale:
        return frozenset(row[0] for row in _EVERYTHING.plain(session, tenant=tenant, user=user_id))
    if session.autoflush:
        session.flush()  # a statement in text does not do that by itself
    asked: dict[str, Any] = {"tenant": tenant, "user": user_id, "claimed": list(claimed), "stale": sorted(stale)}
    return frozenset(session.connection().execute(_WITHOUT, asked).scalars())


def upwards(session: Session, tenant: int, start: Iterable[int]) -> frozenset[int]:
    """`start` and every group that exists above any of it, to any depth, whoever put them there."""
    seen = set(start)
    frontier = sorted(seen)
    while frontier:
        reached: set[int] = set()
        for offset in range(0, len(frontier), 5000):
            rows = session.scalars(
                select(Membership.container_id)
                .join(Principal, Principal.id == Membership.container_id)
                .where(
                    Membership.tenant_id == tenant,
                    Membership.epoch_to.is_(None),
                    Membership.member_id.in_(frontier[offset : offset + 5000]),
                    Principal.subject_id.is_not(None),
                )
            )
            reached.update(rows)
        frontier = sorted(reached - seen)
        seen |= reached
    return frozenset(seen)
