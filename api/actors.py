"""Who makes a change, as rights, the audit and the rule of the second person know them."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api.identity import Credential
from policies.claims import Claims
from policies.rights import require_right, who
from policies.subject import Subject

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who changes something.

    Attributes:
        name: how the audit names them: `user:<id>`, `app:<id>` or `local`.
        hand: what proved them: `app:<app>` whose key they hold, `token:<app>:<id>` by the issuer's word, or their login
            on the machine. Whom an app names in `X-Ambit-User` proves nothing, so a change and its approval must come
            by different hands.
        user, app: the person and the app whose rights count; both None on the machine itself, where whoever can read
            the data folder may do everything.
        noted: what the audit adds to each entry.
        claims: what their token says of them.
    """

    tenant: int
    name: str
    hand: str
    noted: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    app: str | None = None
    claims: Claims | None = None

    @property
    def trusted(self) -> bool:
        """Whether grants do not bind them."""
        return self.app is None and self.user is None

    def note(self, body: dict[str, Any]) -> dict[str, Any]:
        """An audit entry's body with what is noted of the actor."""
        return {**body, **dict(self.noted)}

    def require(self, session: Session, right: str, target: str) -> None:
        """Refuses an actor without a right.

        Raises:
            ForbiddenError: they have it not.
        """
        if not self.trusted:
            require_right(session, self.subject(session), right, target)

    def subject(self, session: Session) -> Subject:
        """Whose grants count."""
        return who(session, self.tenant, user=self.user, app=self.app, claims=self.claims)


def of_key(cred: Credential) -> Actor:
    """Whoever sent a request with a key or a token."""
    token = cred.holder is not None
    key = () if token else (("key", cred.prefix),)
    return Actor(
        tenant=cred.tenant,
        name=cred.actor,
        hand=f"token:{cred.app}:{cred.holder}" if token else f"app:{cred.app}",
        noted=(*key, *((("app", cred.app),) if cred.administrator else ())),
        user=cred.administrator,
        app=cred.app,
        claims=cred.claims,
    )


def at_the_machine(tenant: int) -> Actor:
    """Whoever runs the command: known by the login that the system gives, whatever the environment says."""
    try:
        login = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        login = str(os.getuid())
    return Actor(tenant, LOCAL, f"{LOCAL}:{login}", (("login", login),))
