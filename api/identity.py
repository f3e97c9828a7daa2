"""Who calls: an app by its key and the person it asks for by `X-Ambit-User`, or a person by an access token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Depends, Query, Request
from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.context import Context, Ctx
from api.runtime import Runtime
from api.tokens.callers import caller_of
from api.tokens.check import Token
from core.db import now
from core.errors import AccessUndecidedError, ForbiddenError, InvalidError, UnauthenticatedError
from core.prepared import Prepared
from core.secrets import Keyring, key_digest, prefix_of
from core.snapshot import Snapshot
from core.tables import ApiKey, App
from policies.claims import Claims
from policies.subject import Caller, Subject, may_act_for, resolve_subject

USER_HEADER = "X-Ambit-User"
RIGHTS = ("query", "ingest", "admin", "provision")
PEPPER = "api-keys"
_LONGEST_NAME = 320


@dataclass(frozen=True, slots=True)
class Credential:
    """A checked API key or access token. `sources` are those its app may see; None: all.

    `person` is whom a key names to administer as, checked; None: the app itself. `holder` is who a token means, empty
    for somebody unknown; None for a key. `claims` is what the token says of them.
    """

    tenant: int
    app: str
    app_id: int
    prefix: str
    rights: frozenset[str]
    sources: frozenset[str] | None
    person: str | None = None
    holder: str | None = None
    claims: Claims | None = None

    @property
    def administrator(self) -> str | None:
        """The person whose grants count; None: the app's own."""
        return self.person if self.holder is None else self.holder

    @property
    def actor(self) -> str:
        """How the audit names it."""
        person = self.person or self.holder
        return f"user:{person}" if person else f"app:{self.app}"

    def sees(self, source: str) -> bool:
        """Whether the app may know of a source."""
        return self.sources is None or source in self.sources


def credential(request: Request, ctx: Ctx) -> Credential:
    """The app whose key the request carries, or the person and app whose token it carries.

    Raises:
        UnauthenticatedError: there is no key, or it is unknown, revoked, expired, or of an inactive app: all alike.
        TokenError: the token is not taken; the message says why.
        ForbiddenError: the token's client is no app here.
        AccessUndecidedError: SQL did not answer.
    """
    with _checked(request, ctx) as (_, found):
        return found


@contextmanager
def _checked(request: Request, ctx: Context) -> Iterator[tuple[Snapshot, Credential]]:
    """As `credential`, with the snapshot in which it was checked."""
    key = _presented(request)
    token = ctx.runtime.tokens.check(key) if _is_token(ctx.runtime, key) else None
    try:
        with ctx.runtime.db.read() as session:
            if token is not None:
                yield session, _of_token(session, ctx.runtime, token)
            else:
                yield session, _check(session, ctx.runtime.keyring, key)
    except SQLAlchemyError as error:
        raise AccessUndecidedError("who asks could not be checked") from error


def _presented(request: Request) -> str:
    """The one key of a request; two that differ are none, since who put the second one there is unknown."""
    given = set(request.headers.getlist("x-api-key"))
    for value in request.headers.getlist("authorization"):
        scheme, _, rest = value.partition(" ")
        given.add(rest.strip() if scheme.lower() == "bearer" else "")
    if len(given) != 1:
        raise _unauthenticated()
    return given.pop()


def _is_token(runtime: Runtime, text: str) -> bool:
    return runtime.tokens.any and prefix_of(text) is None and text.count(".") == 2


def _of_token(session: Session, runtime: Runtime, token: Token) -> Credential:
    """A token's credential: its person may ask and, through an app of `admin_apps`, do what grants let them."""
    found = caller_of(session, token, runtime.settings.tenant)
    administers = found.app.key in token.issuer.admin_apps
    return Credential(
        tenant=found.tenant,
        app=found.app.key,
        app_id=found.app.id,
        prefix="",
        rights=frozenset({"query", "admin"} if administers else {"query"}),
        sources=None if found.app.sources is None else frozenset(found.app.sources),
        holder=found.user or "",
        claims=found.claims,
    )


_KEY = Prepared(
    select(
        ApiKey.tenant_id,
        ApiKey.prefix,
        ApiKey.digest,
        ApiKey.rights,
        ApiKey.expires_at,
        ApiKey.revoked_at,
        App.id.label("app_id"),
        App.key.label("app"),
        App.active,
        App.sources,
    )
    .join(App, App.id == ApiKey.app_id)
    .where(ApiKey.prefix == bindparam("prefix"))
)


def _check(session: Session, keyring: Keyring, key: str) -> Credential:
    digest = key_digest(keyring.derive(PEPPER), key)
    row = _KEY.first(session, prefix=prefix_of(key) or "")
    if not hmac.compare_digest(digest, row.digest if row else bytes(len(digest))) or row is None:
        raise _unauthenticated()
    expired = row.expires_at is not None and row.expires_at <= now(session)
    if expired or row.revoked_at is not None or not row.active:
        raise _unauthenticated()
    return Credential(
        tenant=row.tenant_id,
        app=row.app,
        app_id=row.app_id,
        prefix=row.prefix,
        rights=frozenset(row.rights),
        sources=None if row.sources is None else frozenset(row.sources),
    )


def _unauthenticated() -> UnauthenticatedError:
    return UnauthenticatedError("send a valid API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`")


Cred = Annotated[Credential, Depends(credential)]


def require(*rights: str) -> Callable[[Credential], Awaitable[Credential]]:
    """A dependency that gives the credential where it has one of `rights`.

    Raises:
        ForbiddenError: it has none of them.
    """

    async def check(cred: Cred) -> Credential:
        need(cred, *rights)
        return cred

    setattr(check, "ambit_right", f"key:{' or '.join(rights)}")  # noqa: B010 - as `api.rights.marked` does
    return check


def need(cred: Credential, *rights: str) -> None:
    """Refuses a key without one of `rights`.

    Raises:
        ForbiddenError: it has none of them.
    """
    if not cred.rights.intersection(rights):
        raise ForbiddenError(f"this key lacks the right {' or '.join(rights)}")


Ingester = Annotated[Credential, Depends(require("ingest"))]
Operator = Annotated[Credential, Depends(require("admin", "ingest"))]
Querier = Annotated[Credential, Depends(require("query"))]


def named_user(request: Request) -> str | None:
    """The person in the header, as UTF-8; None where it is absent.

    Raises:
        InvalidError: it is there twice or is not readable.
    """
    given = request.headers.getlist(USER_HEADER)
    if not given:
        return None
    try:
        name = given[0].encode("latin-1").decode().strip()
    except UnicodeDecodeError:
        name = ""
    if len(given) > 1 or not name or len(name) > _LONGEST_NAME:
        raise _wrong_header("must be there once and name a person by id or e-mail")
    return name


def named_for(request: Request, cred: Credential) -> str | None:
    """As `named_user`; a token names its person itself.

    Raises:
        InvalidError: also where the header stands beside a token.
    """
    name = named_user(request)
    if name is not None and cred.holder is not None:
        raise _wrong_header("stands beside an access token, which names the person itself; leave it out")
    return name


def act_for(runtime: Runtime, cred: Credential, name: str | None) -> Caller:
    """The person an app asks for, checked in one snapshot.

    Raises:
        InvalidError: nobody is named.
        ForbiddenError: the app may not act for them, or they do not exist: the same words.
        AccessUndecidedError: SQL did not answer.
    """
    _need_name(cred, name)
    try:
        with runtime.db.read(cred.tenant) as session:
            return person_in(session, cred, name or "")
    except SQLAlchemyError as error:
        raise AccessUndecidedError("the person could not be looked up") from error


def _need_name(cred: Credential, name: str | None) -> None:
    need(cred, "query")
    if cred.holder is None and name is None:
        raise _wrong_header("is missing; name the person you ask for by id or e-mail")


def person_in(session: Session, cred: Credential, name: str) -> Caller:
    """As `act_for`, within a session."""
    if cred.holder is not None:
        return _token_person(session, cred)
    subject = _subject(session, cred, name)
    app = None if subject is None else subject.app
    if subject is None or app is None or not may_act_for(session, subject, app.acts_for):
        raise ForbiddenError("this app may not act for the person it names; an admin can add them to its acts_for")
    return Caller(tenant=cred.tenant, user=subject.name, app=cred.app)


def _token_person(session: Session, cred: Credential) -> Caller:
    """The person of a token, whom the issuer vouches for: the app needs no leave to name them."""
    caller = Caller(tenant=cred.tenant, user=cred.holder or "", app=cred.app, claims=cred.claims)
    subject = resolve_subject(session, caller) if cred.holder else None
    if subject is None or subject.nobody:
        raise ForbiddenError("this token is of nobody that Ambit knows as active; an admin can add or link them")
    return replace(caller, user=subject.name)


def _subject(session: Session, cred: Credential, name: str) -> Subject | None:
    if not name.isprintable():
        return None
    try:
        return resolve_subject(session, Caller(tenant=cred.tenant, user=name, app=cred.app))
    except InvalidError:
        return None


def _wrong_header(message: str) -> InvalidError:
    return InvalidError(f"{USER_HEADER} {message}", errors=[{"field": USER_HEADER, "message": message}])


def asker(request: Request, ctx: Ctx) -> Caller:
    """The person a query is for: always named, always one the app may act for, checked in the key's own snapshot."""
    with _checked(request, ctx) as (session, cred):
        name = named_for(request, cred)
        _need_name(cred, name)
        session.narrow(cred.tenant)
        return _from_here(request, person_in(session, cred, name or ""))


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, not yet checked: for routes that work in a thread, which check it there, at no second one's cost."""

    _request: Request
    _ctx: Context

    @classmethod
    def presented(cls, request: Request, ctx: Context) -> Asking:
        """One who shows a key.

        Raises:
            UnauthenticatedError: there is none, or more than one.
        """
        _presented(request)
        return cls(request, ctx)

    def caller(self) -> Caller:
        """The person, as `asker` finds them, with its errors."""
        return asker(self._request, self._ctx)


async def asking(request: Request, ctx: Ctx) -> Asking:
    """As `asker`, to be checked by the route itself; one who shows no key at all is refused here.

    Raises:
        UnauthenticatedError: there is none, or more than one.
    """
    return Asking.presented(request, ctx)


setattr(asker, "ambit_right", "key:query")  # noqa: B010 - as `api.rights.marked` does
setattr(asking, "ambit_right", "key:query")  # noqa: B010


def _from_here(request: Request, caller: Caller) -> Caller:
    """The caller with the address that the server sees, for rules that read it."""
    return replace(caller, address=request.client.host if request.client else None)


Asker = Annotated[Caller, Depends(asker)]
ToCheck = Annotated[Asking, Depends(asking)]


View = Annotated[
    Literal["admin"] | None, Query(description="`admin`: as who administers, by right, and not as who reads.")
]


def viewer(request: Request, ctx: Ctx, cred: Cred, view: View = None) -> Caller | None:
    """The person a resource is shown to; None: an admin, who sees what is there and no text of it.

    A person who administers, named or by token, is shown what they may read, unless they ask for `view=admin`.
    """
    name = named_for(request, cred)
    if view is not None:
        need(cred, "admin")
    if view is not None or (name is None and cred.holder is None and "admin" in cred.rights):
        return None
    return _from_here(request, act_for(ctx.runtime, cred, name))


setattr(viewer, "ambit_right", "key:query or admin")  # noqa: B010 - what an admin is shown, the route decides
Viewer = Annotated[Caller | None, Depends(viewer)]
