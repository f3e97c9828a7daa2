"""Who asks: an active person, everything that person is, and the app through which they ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.tables import App, Principal, User
from policies.model import EVERYONE
from policies.principals import of_user, split


@dataclass(frozen=True, slots=True)
class AppView:
    """An app's part in a decision. `sources` None: all."""

    id: int
    key: str
    principal: int
    sources: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Subject:
    """One person through one app (None: none, as on the local command line).

    Attributes:
        principals: ids of everything the person is; empty for nobody, who may read nothing.
        email, attributes: as the directory has them, the address only where it is verified; rules read them.
        address: the IP address that the query came from, where that is known; rules may read it.
    """

    tenant: int
    user: int | None
    name: str
    principals: frozenset[int]
    app: AppView | None = None
    email: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    address: str | None = None

    @property
    def nobody(self) -> bool:
        """Whether there is no such active person."""
        return self.user is None


@dataclass(frozen=True, slots=True)
class Caller:
    """Names from a checked credential, resolved anew for every decision."""

    tenant: int
    user: str
    """`<id>` or a verified e-mail."""
    app: str | None = None
    address: str | None = None
    """The IP address of the query, where it is known."""


_USER = (
    select(User)
    .join(Principal, Principal.subject_id == User.id)
    .where(
        Principal.tenant_id == bindparam("tenant"),
        Principal.kind == "user",
        Principal.key == bindparam("key"),
        User.active,
    )
)
_APP = (
    select(App, Principal.id)
    .join(Principal, (Principal.subject_id == App.id) & (Principal.kind == "app") & (Principal.key == App.key))
    .where(
        App.tenant_id == bindparam("tenant"),
        Principal.tenant_id == bindparam("tenant"),
        App.key == bindparam("key"),
        App.active,
    )
)


def resolve_subject(session: Session, caller: Caller) -> Subject:
    """Everything the caller is in this snapshot; nobody where the person or app is unknown or inactive."""
    user = _user(session, caller)
    app = _app(session, caller)
    if user is None or (caller.app is not None and app is None):
        return Subject(tenant=caller.tenant, user=None, name=caller.user, principals=frozenset(), app=app)
    return Subject(
        tenant=caller.tenant,
        user=user.id,
        name=user.key,
        principals=of_user(session, caller.tenant, user.id),
        app=app,
        email=user.email if user.email_verified else None,
        attributes=user.attributes,
        address=caller.address,
    )


def app_alone(session: Session, tenant: int, app: str) -> Subject:
    """An app that asks for itself, to administer: it is its own principal and nobody, so it reads nothing."""
    found = _app(session, Caller(tenant, "", app))
    principals = frozenset({found.principal} if found else ())
    return Subject(tenant=tenant, user=None, name=f"app:{app}", principals=principals, app=found)


def _user(session: Session, caller: Caller) -> User | None:
    key = split(f"user:{caller.user}")[1]
    return session.execute(_USER, {"tenant": caller.tenant, "key": key}).scalar_one_or_none()


def _app(session: Session, caller: Caller) -> AppView | None:
    if caller.app is None:
        return None
    row = session.execute(_APP, {"tenant": caller.tenant, "key": caller.app}).one_or_none()
    if row is None:
        return None
    app, principal = row
    sources = None if app.sources is None else frozenset(app.sources)
    return AppView(id=app.id, key=app.key, principal=principal, sources=sources)


def may_act_for(session: Session, subject: Subject, app: App) -> bool:
    """Whether an app may name this person: one of the principals it acts for is one of theirs."""
    if subject.nobody:
        return False
    for name in app.acts_for:
        kind, key = split(name)
        if kind == EVERYONE:
            return True
        found = session.execute(
            select(Principal.id).where(
                Principal.tenant_id == subject.tenant, Principal.kind == kind, Principal.key == key
            )
        ).scalar_one_or_none()
        if found in subject.principals:
            return True
    return False
