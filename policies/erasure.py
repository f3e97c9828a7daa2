"""Erasing a person: out of the directory at once, and a token in their stead wherever history still needs somebody.

What they could read at an earlier time stays answerable, of somebody who has no name any more: entries, memberships and
states keep their place and say the token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, false, func, or_, select, update
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from core.names import Form, Names, form, spoken
from core.tables import (
    Ace,
    AdminGrant,
    App,
    BreakGlass,
    ExternalIdentity,
    Policy,
    Principal,
    StateHistory,
    User,
)
from policies import directory
from policies.epoch import bump

_CALLED = frozenset({"userName", "displayName", "formatted", "nickName", "value", "cn", "mail", "uid", "name"})
"""Fields of what another system says of somebody that hold names, addresses and numbers."""
_APART = frozenset({"addresses", "entitlements", "groups", "manager", "roles", "x509Certificates"})
"""Fields of it that say what others are called, or what is not theirs alone."""
_DECISIVE = ("clearance",)
_CHANCE = 7
"""An outside id of no more signs than that could be part of anything."""


class Erased:
    """One person as SQL knows them, whether they are still there or only remembered.

    Raises:
        NotFoundError: neither.
        ConflictError: the name is, or was, several people's.
    """

    def __init__(self, session: Session, tenant: int, name: str) -> None:
        self._session, self._tenant = session, tenant
        wanted = name.removeprefix("user:")
        self.id = self._standing(wanted) or self._remembered(wanted)
        if not self.id:
            raise NotFoundError(
                f"there is and was no person {wanted!r}; name them by their id, or an address of theirs"
            )
        states = [*self._past(), *self._present()]
        keys = {state["key"] for state in states if state.get("key")}
        addresses = {state["email"].casefold() for state in states if state.get("email")}
        self.keys = sorted(keys - self._others(User.key, keys))
        self.addresses = sorted(addresses - self._others(func.lower(User.email), addresses))
        self._identities = session.scalars(
            select(ExternalIdentity).where(
                ExternalIdentity.tenant_id == tenant,
                ExternalIdentity.kind == "user",
                ExternalIdentity.subject_id == self.id,
            )
        ).all()

    def _standing(self, wanted: str) -> int | None:
        called = (User.key == wanted, func.lower(User.email) == wanted.casefold())
        for one in called:
            found = self._session.scalars(select(User.id).where(User.tenant_id == self._tenant, one)).all()
            if found:
                return _only(found, wanted)
        return None

    def _remembered(self, wanted: str) -> int | None:
        folded = wanted.casefold()
        states = (StateHistory.tenant_id == self._tenant, StateHistory.kind == "user")
        rows = self._session.execute(select(StateHistory.subject_id, StateHistory.state).where(*states))
        found = {one for one, state in rows if folded in _called(state)}
        return _only(sorted(found), wanted) if found else None

    def _past(self) -> Iterator[dict[str, Any]]:
        rows = self._session.scalars(
            select(StateHistory.state).where(
                StateHistory.tenant_id == self._tenant,
                StateHistory.kind == "user",
                StateHistory.subject_id == self.id,
            )
        )
        yield from rows

    def _present(self) -> Iterator[dict[str, Any]]:
        row = self._session.get(User, self.id)
        if row is not None:
            yield {"key": row.key, "email": row.email}

    def _others(self, column: Any, names: set[str]) -> set[str]:
        """Those of their names that are somebody else's by now, and stay."""
        mine = (User.tenant_id == self._tenant, User.id != self.id, column.in_(names))
        return set(self._session.scalars(select(column).where(*mine)))

    def instead(self, token: str) -> dict[str, str]:
        """What stands in the stead of each id and address; an address stays one, since that is how it is resolved."""
        called = [*self.keys, *self.addresses]
        numbered = [token if place == 0 else f"{token}-{place}" for place in range(len(called))]
        return {
            name: f"{one}@erased.invalid" if "@" in name else one for name, one in zip(called, numbered, strict=True)
        }

    def names(self, token: str) -> Names:
        """Everything they are called, as it is to be struck."""
        forms: list[Form] = []
        instead = self.instead(token)
        for key in self.keys:
            forms += [form(key, instead[key], before=kind) for kind in ("user[:=]", "User/", r"token:[^:\s]+:")]
        forms += [form(one, instead[one]) for one in self.addresses]
        others = {
            *spoken(self._spoken_of()),
            *(one.external_id for one in self._identities if len(one.external_id) > _CHANCE),
        }
        others -= self._shared(others)
        others |= {one.name for one in self._identities if "=" in one.name}  # an LDAP DN is nobody else's
        forms += [form(one, token) for one in sorted(others - instead.keys())]
        bare = {one.name for one in self._identities if one.name and "@" not in one.name and one.name not in others}
        return Names(token, tuple(forms), frozenset({*self.keys, *bare}))

    def _shared(self, called: Iterable[str]) -> set[str]:
        """Those of some names that another person goes by too, alone or as a part of theirs."""
        forms = {one: form(one, "") for one in called}
        body = func.lower(cast(ExternalIdentity.body, Text))
        holds = [body.contains(one.probe, autoescape=True) for one in forms.values()]
        mine = (ExternalIdentity.tenant_id == self._tenant, ExternalIdentity.kind == "user")
        rows = self._session.scalars(
            select(ExternalIdentity).where(*mine, ExternalIdentity.subject_id != self.id, or_(false(), *holds))
        )
        said = "\n".join(one for row in rows for one in _leaves(row.body))
        return {name for name, one in forms.items() if re.search(one.pattern, said, re.IGNORECASE)}

    def _spoken_of(self) -> Iterator[str]:
        for one in self._identities:
            yield one.name
            yield from _leaves(one.body)


def forget(session: Session, tenant: int, erased: Erased, token: str) -> None:
    """Takes the person out of the directory and their name out of everything that decides, in this transaction."""
    epoch = bump(session, tenant)
    names = erased.instead(token)
    if session.get(User, erased.id) is not None:
        directory.remove(session, tenant, f"user:{erased.keys[-1]}")
    mine = select(Principal).where(Principal.tenant_id == tenant, Principal.kind == "user", Principal.key.in_(names))
    principals = session.scalars(mine.execution_options(populate_existing=True)).all()
    for table in (Ace, AdminGrant):
        _end(session, table, [one.id for one in principals if one.subject_id is None], epoch)
    _unnamed_by_apps(session, tenant, set(names))
    for one in principals:
        if one.subject_id is None:
            one.key = names[one.key]
    session.flush()
    _rename_states(session, tenant, erased, token)
    session.execute(
        update(BreakGlass).where(BreakGlass.tenant_id == tenant, BreakGlass.user_id == erased.id).values(user_key=token)
    )


def _end(session: Session, table: Any, principals: list[int], epoch: int) -> None:
    """Ends what stands for somebody who is gone: an allow gives nothing any more, and a deny of nobody known would
    close its place to all.
    """
    standing = (table.principal_id.in_(principals), table.epoch_to.is_(None))
    session.execute(update(table).where(*standing).values(epoch_to=epoch))


def _unnamed_by_apps(session: Session, tenant: int, names: set[str]) -> None:
    gone = {f"user:{name}" for name in names}
    for app in session.scalars(select(App).where(App.tenant_id == tenant)).all():
        kept = [one for one in app.acts_for if one.casefold() not in gone and one not in gone]
        if kept != app.acts_for:
            directory.put_app(
                session,
                tenant,
                app.key,
                sources=app.sources,
                acts_for=kept,
                models=app.models,
                active=app.active,
            )


def _rename_states(session: Session, tenant: int, erased: Erased, token: str) -> None:
    """Their earlier states keep what rules looked at, under the token; nothing else of them is needed."""
    theirs: tuple[ColumnElement[bool], ...] = (StateHistory.tenant_id == tenant, StateHistory.kind == "user")
    names = erased.instead(token)
    rules = " ".join(session.scalars(select(Policy.condition).where(Policy.tenant_id == tenant)))
    looked_at = {*_DECISIVE, *re.findall(r"principal\.(?:attributes\.)?(\w+)", rules)}
    for row in session.scalars(select(StateHistory).where(*theirs, StateHistory.subject_id != erased.id)):
        if row.state.get("key") in names:  # who had the id before
            row.state = {**row.state, "key": names[row.state["key"]]}
    for row in session.scalars(select(StateHistory).where(*theirs, StateHistory.subject_id == erased.id)):
        attributes = {name: one for name, one in (row.state.get("attributes") or {}).items() if name in looked_at}
        email = row.state.get("email")
        told = {"key": names.get(row.state.get("key", ""), token), "attributes": attributes, "stated": {}}
        row.state = {**row.state, **told, "email": names.get(email.casefold()) if email else None}
    session.flush()


def _only(found: Sequence[int], wanted: str) -> int:
    if len(found) > 1:
        raise ConflictError(
            f"{wanted!r} is or was the name of {len(found)} people; name the one that is meant by their id"
        )
    return found[0]


def _called(state: dict[str, Any]) -> set[str]:
    return {str(state[name]).casefold() for name in ("key", "email") if state.get(name)}


def _leaves(value: Any, at: str = "") -> Iterable[str]:
    if isinstance(value, str):
        if at in _CALLED:
            yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            if key not in _APART:
                yield from _leaves(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one, at)
