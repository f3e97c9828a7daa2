"""Who asks: an active person, everything that person is, and the app through which they ask."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import ForbiddenError
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
    """

    tenant: int
    user: int | None
    name: str
    principals: frozenset[int]
    app: AppView | None = None

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
    )


def _user(session: Session, caller: Caller) -> User | None:
    return session.execute(
        select(User)
        .join(Principal, Principal.subject_id == User.id)
        .where(
            Principal.tenant_id == caller.tenant,
            Principal.kind == "user",
            Principal.key == split(f"user:{caller.user}")[1],
            User.active,
        )
    ).scalar_one_or_none()


def _app(session: Session, caller: Caller) -> AppView | None:
    if caller.app is None:
        return None
    row = session.execute(
        select(App, Principal.id)
        .join(Principal, (Principal.subject_id == App.id) & (Principal.kind == "app") & (Principal.key == App.key))
        .where(App.tenant_id == caller.tenant, Principal.tenant_id == caller.tenant, App.key == caller.app, App.active)
    ).one_or_none()
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


def require_act_for(session: Session, subject: Subject, app: App) -> None:
    """Refuses alike whom the app may not name and who does not exist.

    Raises:
        ForbiddenError: the app may not act for this person.
    """
    if not may_act_for(session, subject, app):
        raise ForbiddenError(f"app {app.key!r} may not act for {subject.name!r}; an admin can add them to acts_for")
