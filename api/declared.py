"""Declared objects over HTTP: listed, shown, put and ended one by one, by the rules that hold for those of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Response
from sqlalchemy.orm import Session

from api import etags
from api.actors import of_key
from api.changes import Asked, perform
from api.declare.differences import shown
from api.declare.present import present
from api.declare.shapes import check
from api.declare.single import find_one
from api.identity import Credential
from api.runtime import Runtime
from api.schemas.base import Page, View
from core.errors import NotFoundError


class DeclaredView(View):
    """An object as its document would say it; what may be a secret is hidden."""

    id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an object is to be, and the ETag of the state that this was made from."""

    kind: str
    key: str
    body: dict[str, Any]
    if_match: str | None


def listed(runtime: Runtime, cred: Credential, kind: str) -> Page[DeclaredView]:
    """All of a kind, by id."""
    with runtime.db.read(cred.tenant) as session:
        found = sorted((name[1], body) for name, body in present(session, cred.tenant).items() if name[0] == kind)
    return Page(data=[DeclaredView(id=key, body=shown(body)) for key, body in found])


def one(runtime: Runtime, cred: Credential, kind: str, key: str, response: Response) -> DeclaredView:
    """One of a kind, tagged.

    Raises:
        NotFoundError: there is none.
    """
    with runtime.db.read(cred.tenant) as session:
        view = _find(session, cred, kind, key)
    if view is None:
        raise NotFoundError(f"there is no {kind.lower()} {key!r}")
    etags.tagged(response, view)
    return view


def put(runtime: Runtime, cred: Credential, wanted: Wanted, response: Response) -> DeclaredView:
    """Makes or replaces one; the response says which.

    Raises:
        InvalidError: the body does not fit, or names what is not there.
        PreconditionFailedError: it changed since.
    """
    body = check(wanted.kind, wanted.key, wanted.body)
    done = perform(
        runtime,
        of_key(cred),
        Asked(f"{wanted.kind.lower()}.put", {"key": wanted.key, "body": body}),
        check=lambda session: etags.check(_find(session, cred, wanted.kind, wanted.key), wanted.if_match),
    )
    view = DeclaredView(id=wanted.key, body=done.told)
    response.status_code = 200 if done.before else 201
    etags.tagged(response, view)
    return view


def delete(runtime: Runtime, cred: Credential, wanted: Wanted) -> None:
    """Ends one.

    Raises:
        NotFoundError: there is none.
        InvalidError: another object names it.
        PreconditionFailedError: it changed since.
    """
    perform(
        runtime,
        of_key(cred),
        Asked(f"{wanted.kind.lower()}.delete", {"key": wanted.key}),
        check=lambda session: etags.check(_find(session, cred, wanted.kind, wanted.key), wanted.if_match),
    )


def _find(session: Session, cred: Credential, kind: str, key: str) -> DeclaredView | None:
    body = find_one(session, cred.tenant, kind, key)
    return None if body is None else DeclaredView(id=key, body=shown(body))
