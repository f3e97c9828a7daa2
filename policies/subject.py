"""Who asks: an active person, everything that person is, and the app through which they ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.db import now
from core.prepared import Prepared
from core.tables import App, Directory, Principal, Tenant, User
from policies.claims import NO_CLAIMS, Claims
from policies.directories import LIMITS, Standing, standing_of
from policies.doubt import doubts
from policies.model import EVERYONE
from policies.principals import named, split


@dataclass(frozen=True, slots=True)
class AppView:
    """An app's part in a decision. `sources` None: all; `acts_for` names those whom it may ask for."""

    id: int
    key: str
    principal: int
    sources: frozenset[str] | None
    acts_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """One person through one app (None: none, as on the local command line).

    Attributes:
        principals: ids of everything the person is; empty for nobody, who may read nothing.
        email, attributes: as the directory has them, the address only where it is verified; rules read them.
        address: the IP address that the query came from, where that is known; rules may read it.
        uncertain: groups of which nobody knows whether the person is in them; denies count them, allows do not.
        unknown: names of attributes, and `groups`, of which a rule cannot know what they hold; one that reads them
            errs.
        ends_at: when this stops being so by itself; None: not before the next epoch.
        notes: what of the person does not count at present and why, for explanations.
        claimed: keys of the groups that their token puts them into, for explanations.
    """

    tenant: int
    user: int | None
    name: str
    principals: frozenset[int]
    app: AppView | None = None
    email: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    address: str | None = None
    uncertain: frozenset[int] = frozenset()
    unknown: frozenset[str] = frozenset()
    ends_at: datetime | None = None
    notes: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    claims: str = ""
    """Digest of what a token's claims give and take; part of a cache's key."""

    @property
    def denied_as(self) -> frozenset[int]:
        """Everything that a deny may name to stop this person."""
        return self.principals | self.uncertain if self.uncertain else self.principals

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
    claims: Claims | None = None
    """What the person's token says of them; None where they came without one."""


_WHO = Prepared(
    select(User.id, User.key, User.email, User.email_verified, User.attributes, User.stated, *LIMITS)
    .select_from(Tenant)
    .outerjoin(
        Principal,
        (Principal.tenant_id == Tenant.id) & (Principal.kind == "user") & (Principal.key == bindparam("key")),
    )
    .outerjoin(User, (User.id == Principal.subject_id) & User.active)
    .outerjoin(Directory, (Directory.tenant_id == Tenant.id) & Directory.max_age_s.is_not(None))
    .where(Tenant.id == bindparam("tenant"))
)
"""The person, beside each directory with a limit: read together, whether there are any of them."""
_APP = Prepared(
    select(App.id, App.key, App.sources, App.acts_for, Principal.id.label("principal"))
    .join(Principal, (Principal.subject_id == App.id) & (Principal.kind == "app") & (Principal.key == App.key))
    .where(
        App.tenant_id == bindparam("tenant"),
        Principal.tenant_id == bindparam("tenant"),
        App.key == bindparam("key"),
        App.active,
    )
)


def resolve_subject(session: Session, caller: Caller) -> Subject:
    """Everything the caller is in this snapshot; nobody where the person or app is unknown or inactive, where only
    directories that are too old speak of them, or where their token has ended.
    """
    rows = _WHO.all(session, tenant=caller.tenant, key=split(f"user:{caller.user}")[1])
    user = rows[0] if rows and rows[0].id is not None else None
    app = _app(session, caller)
    limits = [row[-len(LIMITS) :] for row in rows]
    held = standing_of(session, [one for one in limits if one[0] is not None])
    claims = caller.claims or NO_CLAIMS
    ended = claims.ends_at is not None and claims.ends_at <= now(session)
    outdated = user is not None and bool(user.stated) and held.stale.issuperset(user.stated)
    if user is None or ended or outdated or (caller.app is not None and app is None):
        return Subject(
            tenant=caller.tenant,
            user=None,
            name=caller.user,
            principals=frozenset(),
            app=app,
            ends_at=held.ends_at,
            notes=_why_nobody(user, held) if outdated else (),
        )
    doubt = doubts(session, caller.tenant, user, held, claims)
    return Subject(
        tenant=caller.tenant,
        user=user.id,
        name=user.key,
        principals=doubt.principals,
        app=app,
        email=user.email if user.email_verified else None,
        attributes={**claims.attributes_given, **doubt.attributes},
        address=caller.address,
        uncertain=doubt.uncertain,
        unknown=doubt.unknown,
        ends_at=min((one for one in (held.ends_at, claims.ends_at) if one is not None), default=None),
        notes=doubt.notes,
        claimed=claims.groups,
        claims=claims.digest,
    )


def app_alone(session: Session, tenant: int, app: str) -> Subject:
    """An app that asks for itself, to administer: it is its own principal and nobody, so it reads nothing."""
    found = _app(session, Caller(tenant, "", app))
    principals = frozenset({found.principal} if found else ())
    return Subject(tenant=tenant, user=None, name=f"app:{app}", principals=principals, app=found)


def _why_nobody(user: Any, held: Standing) -> tuple[str, ...]:
    origins = ", ".join(sorted(held.stale.intersection(user.stated)))
    return (f"only {origins} speaks of this person, and its data is too old",)


def _app(session: Session, caller: Caller) -> AppView | None:
    if caller.app is None:
        return None
    row = _APP.first(session, tenant=caller.tenant, key=caller.app)
    if row is None:
        return None
    sources = None if row.sources is None else frozenset(row.sources)
    return AppView(id=row.id, key=row.key, principal=row.principal, sources=sources, acts_for=tuple(row.acts_for))


def may_act_for(session: Session, subject: Subject, acts_for: Iterable[str]) -> bool:
    """Whether an app may name this person: one of the principals it `acts_for` is one of theirs."""
    if subject.nobody:
        return False
    for name in acts_for:
        kind, key = split(name)
        if kind == EVERYONE:
            return True
        if named(session, subject.tenant, kind, key) in subject.principals:
            return True
    return False
