"""Whom a checked token means here: the tenant, the app, the person by their stable id, and what its claims give."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.tokens.check import Token
from core.errors import ForbiddenError
from core.ids import is_key
from core.tables import App
from policies.claims import Claims, claims_of
from policies.directory import tenant_id
from policies.identities import groups_of, user_of


@dataclass(frozen=True, slots=True)
class TokenCaller:
    """The parts of a credential. `user` None: a valid token of nobody that Ambit knows, who gets nothing."""

    tenant: int
    app: App
    user: str | None
    claims: Claims


def caller_of(session: Session, token: Token, default_tenant: str) -> TokenCaller:
    """Whom the token means.

    Raises:
        ForbiddenError: the client that it was issued to is no app that Ambit knows.
        NotFoundError: the issuer's tenant does not exist.
    """
    tenant = tenant_id(session, token.issuer.tenant or default_tenant)
    app = _app(session, tenant, token)
    authorities = {token.issuer.issuer, *([token.issuer.identities] if token.issuer.identities else [])}
    user = user_of(session, tenant, authorities, token.subject)
    return TokenCaller(tenant, app, None if user is None else user.key, _claims(session, tenant, token))


def _app(session: Session, tenant: int, token: Token) -> App:
    key = token.issuer.apps.get(token.client or "", token.issuer.app)
    found = None
    if key is not None:
        statement = select(App).where(App.tenant_id == tenant, App.key == key, App.active)
        found = session.scalars(statement).one_or_none()
    if found is None:
        raise ForbiddenError("the client that this token was issued to is no app here; an admin can map it")
    return found


def _claims(session: Session, tenant: int, token: Token) -> Claims:
    issuer = token.issuer
    groups: set[str]
    if issuer.groups is not None:
        groups = {issuer.groups[one] for one in token.groups if one in issuer.groups}
    elif issuer.identities is not None:
        groups = groups_of(session, tenant, issuer.identities, token.groups)
    else:
        groups = {one for one in token.groups if is_key(one)}
    return claims_of(
        groups,
        token.attributes,
        overage=token.overage,
        nameable=None if issuer.groups is None else issuer.groups.values(),
        ends_at=token.ends_at,
    )
