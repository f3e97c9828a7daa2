"""What a request must be allowed to administer: declared at each route, decided by `policies.rights`.

A key may administer where it has the key right `admin`, a token where its issuer's `admin_apps` names its app. What
may then be done is what grants say of the app, or of the person whom it names in `X-Ambit-User` or whose token it is:
theirs alone, since an app lends nobody its rights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.context import Context, Ctx
from api.identity import Cred, Credential, named_for, need, person_in
from core.errors import AccessUndecidedError, ForbiddenError
from core.tables import Source
from policies.rights import RIGHTS, may_all, require_right, who
from policies.subject import Subject

ADMIN = "admin"
_MARK = "ambit_right"
NO_SOURCE = ""
Checked = TypeVar("Checked", bound=Callable[..., Any])


def administers(right: str, target: str) -> Callable[..., Credential]:
    """A dependency that gives whoever may do `right` to `target`, in which `{name}` is a part of the path.

    Raises:
        ForbiddenError: they may not, by this key or by any grant.
        AccessUndecidedError: SQL did not answer.
    """

    def check(request: Request, ctx: Ctx, cred: Cred) -> Credential:
        acting = acting_as(request, ctx, cred)
        with_right(ctx, acting, right, target.format(**request.path_params))
        return acting

    return marked(check, right, target)


def administers_some(right: str) -> Callable[..., Unproven]:
    """A dependency for routes whose object the body or a row names: it gives what has yet to be proven."""

    def check(request: Request, ctx: Ctx, cred: Cred) -> Unproven:
        return Unproven(acting_as(request, ctx, cred), right)

    return marked(check, right, "…")


@dataclass(frozen=True, slots=True)
class Unproven:
    """A caller whose right over an object is not decided yet."""

    _acting: Credential
    right: str

    @property
    def tenant(self) -> int:
        """Where to look for the object."""
        return self._acting.tenant

    def over(self, session: Session, *targets: str) -> Credential:
        """The caller, who may do the right to each of these.

        Raises:
            ForbiddenError: they may not.
        """
        for target in targets:
            require(session, self._acting, self.right, target)
        return self._acting

    def over_sources(self, session: Session, sources: Sequence[str]) -> Credential:
        """As `require_over`."""
        require_over(session, self._acting, self.right, sources)
        return self._acting

    def over_source(self, session: Session, source: int | None) -> Credential:
        """As `require_in`."""
        require_in(session, self._acting, self.right, source)
        return self._acting


def acting_as(request: Request, ctx: Context, cred: Credential) -> Credential:
    """The caller as an administrator: the app itself, the person it names, or the person of a token.

    Raises:
        ForbiddenError: the key lacks the right `admin`, or the app may not act for the person.
        AccessUndecidedError: SQL did not answer.
    """
    need(cred, ADMIN)
    name = named_for(request, cred)
    if name is None and cred.holder is None:
        return cred
    try:
        with ctx.runtime.db.read(cred.tenant) as session:
            person = person_in(session, cred, name or "").user
            return replace(cred, person=person) if cred.holder is None else replace(cred, holder=person)
    except SQLAlchemyError as error:
        raise AccessUndecidedError("the person could not be looked up") from error


def acting(request: Request, ctx: Ctx, cred: Cred) -> Credential:
    """As `acting_as` for whoever may administer; any other credential as it is, for routes that serve both."""
    return acting_as(request, ctx, cred) if ADMIN in cred.rights else cred


Acting = Annotated[Credential, Depends(acting)]


def subject_of(session: Session, cred: Credential) -> Subject:
    """Whose grants count: the app's own, or the person's, with what their token says of them."""
    return who(session, cred.tenant, user=cred.administrator, app=cred.app, claims=cred.claims)


def with_right(ctx: Context, cred: Credential, right: str, *targets: str) -> None:
    """As `require`, in a snapshot of its own."""
    try:
        with ctx.runtime.db.read(cred.tenant) as session:
            for target in targets:
                require(session, cred, right, target)
    except SQLAlchemyError as error:
        raise AccessUndecidedError("the right could not be decided") from error


def require(session: Session, cred: Credential, right: str, target: str) -> None:
    """Refuses a caller without a right.

    Raises:
        ForbiddenError: by the key, or by what grants say of them.
    """
    need(cred, ADMIN)
    require_right(session, subject_of(session, cred), right, target)


def require_in(session: Session, cred: Credential, right: str, source: int | None) -> None:
    """Refuses a caller without a right over the source, by its internal id, of something that a request names by an
    id; None: there is no such thing. Who may not know of it is told the same either way, from the same statements.

    Raises:
        ForbiddenError: by the key, or by what grants say of them.
    """
    row = session.get(Source, source or 0)
    require_over(session, cred, right, [row.key if row else NO_SOURCE])


def require_over(session: Session, cred: Credential, right: str, sources: Sequence[str]) -> None:
    """As `require_in`, over several sources by their keys; `NO_SOURCE` stands for what does not exist.

    Raises:
        ForbiddenError: by the key, or by what grants say of them.
    """
    need(cred, ADMIN)
    if not may_all(session, subject_of(session, cred), right, [f"source:{key}" for key in sources]):
        raise ForbiddenError(
            f"this needs the right {right!r} over the source of what is named; who may give it writes a Grant"
            " (docs/administration.md)"
        )


def marked(check: Checked, right: str, target: str) -> Checked:
    """The dependency with the right that it stands for, so that a test can find routes without one."""
    if right not in RIGHTS and not right.startswith("key:"):
        raise ValueError(f"{right} is no right")
    setattr(check, _MARK, f"{right} {target}".rstrip())
    return check


def declared(route: APIRoute) -> list[str]:
    """The rights that a route asks for, as in `group.write group:{key}` or `key:query`."""
    return sorted(set(_found(route.dependant)))


def _found(dependant: Any) -> Iterator[str]:
    mark = getattr(dependant.call, _MARK, None)
    if mark is not None:
        yield mark
    for below in dependant.dependencies:
        yield from _found(below)
