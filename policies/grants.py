"""Keeping grants: checked when they are saved, closed and never overwritten, and never so that nobody administers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import now
from core.errors import ConflictError, InvalidError, NotFoundError
from core.ids import KEY_PATTERN, is_key
from core.tables import AdminGrant, ApiKey, App, Principal
from policies.epoch import bump
from policies.model import EVERYONE, check_principal
from policies.people import load_people
from policies.principals import intern
from policies.rights import EVERYTHING, KINDS, granted, matching, weigh, who
from policies.subject import Subject, may_act_for

FIRST = "admin"
"""The grant of the first key's app: everything."""
_OBJECT = re.compile(r"^([a-z]+):(\S{1,255})\Z")
_KEEPS = "grant.write"
Body = dict[str, Any]


def check_right(text: str) -> str:
    """`text` if it names a right or some: `group.write`, `group.*`, `*`.

    Raises:
        InvalidError: there is none such.
    """
    if not matching(text):
        raise InvalidError(f"{text!r} is no right; docs/administration.md lists them, and group.* or * mean several")
    return text


def check_object(text: str) -> str:
    """`text` if it names an object or some: `group:engineering`, `group:*`, `*`.

    Raises:
        InvalidError: it does not.
    """
    found = _OBJECT.fullmatch(text)
    if text != EVERYTHING and (found is None or found[1] not in KINDS):
        raise InvalidError(f"{text!r} is no object; write kind:id, kind:* or *, the kind one of {', '.join(KINDS)}")
    return text


def grant_bodies(session: Session, tenant: int) -> dict[str, Body]:
    """The grants that stand, as their documents would say them, by id."""
    names = _names(session, tenant)
    found: dict[str, Body] = {}
    for row in session.scalars(_open(tenant).order_by(AdminGrant.key, AdminGrant.id)):
        body = found.setdefault(row.key, {**_plain(row, names), "principals": []})
        body["principals"] = sorted([*body["principals"], names[row.principal_id]])
    return found


def put_grant(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> bool:
    """Makes a grant exactly what `body` says (a canonical body, as `grant_bodies` gives); False: it was so.

    Raises:
        InvalidError: the id is none.
    """
    if not is_key(key):
        raise InvalidError(f"grant id {key!r} is no id; it must match {KEY_PATTERN}")
    if grant_bodies(session, tenant).get(key) == dict(body):
        return False
    epoch = _close(session, tenant, key)
    app = f"app:{body['app']}" if body["app"] else None
    ids = intern(session, tenant, [*map(check_principal, body["principals"]), *([app] if app else [])])
    for name in body["principals"]:
        session.add(
            AdminGrant(
                tenant_id=tenant,
                key=key,
                principal_id=ids[name],
                effect=body["effect"],
                rights=[check_right(one) for one in body["rights"]],
                objects=[check_object(one) for one in body["objects"]],
                app_id=ids[app] if app else None,
                not_before=_time(body["not_before"]),
                expires_at=_time(body["expires_at"]),
                epoch_from=epoch,
            )
        )
    session.flush()
    return True


def remove_grant(session: Session, tenant: int, key: str) -> None:
    """Ends a grant.

    Raises:
        NotFoundError: there is none of that id.
    """
    if session.scalars(_open(tenant).where(AdminGrant.key == key)).first() is None:
        raise NotFoundError(f"there is no grant {key!r}")
    _close(session, tenant, key)
    session.flush()


def grant_everything(session: Session, tenant: int, app: str) -> None:
    """The first grant: the app may administer everything."""
    body = {"principals": [f"app:{app}"], "rights": [EVERYTHING], "objects": [EVERYTHING], "effect": "allow"}
    put_grant(session, tenant, FIRST, {**body, "app": None, "not_before": None, "expires_at": None})


def administered(session: Session, tenant: int) -> bool:
    """Whether somebody who can reach the API may say who administers, for good: else only the command line could.

    That is an app with a key that has the right `admin` and no end, or a person for whom such an app may ask.
    """
    at = now(session)
    apps = _apps_with_keys(session, tenant)
    for app in apps:
        if _keeps(session, who(session, tenant, user=None, app=app.key), at):
            return True
    reachable = [app for app in apps if app.acts_for]
    people = load_people(session, tenant).values() if reachable else ()
    return any(
        _keeps(session, subject, at) and may_act_for(session, subject, app.acts_for)
        for app in reachable
        for subject in (who(session, tenant, user=one.key, app=app.key) for one in people)
    )


def refuse_lockout(session: Session, tenant: int, before: bool) -> None:
    """Refuses a change after which nobody may administer, where somebody might before.

    Raises:
        ConflictError: that is so.
    """
    if before and not administered(session, tenant):
        raise ConflictError(
            "after this nobody could say who administers; give another app with an admin key, or a person that such "
            "an app acts for, the right grant.write over * first"
        )


def _keeps(session: Session, subject: Subject, at: datetime) -> bool:
    rows = [one for one in granted(session, subject, at, lasting=True) if one.about(_KEEPS)]
    return bool(subject.principals) and weigh(rows, subject, EVERYTHING).allowed


def _apps_with_keys(session: Session, tenant: int) -> list[App]:
    rows = session.execute(
        select(App, ApiKey.rights)
        .join(ApiKey, ApiKey.app_id == App.id)
        .where(App.tenant_id == tenant, App.active, ApiKey.revoked_at.is_(None), ApiKey.expires_at.is_(None))
    )
    return list({app.id: app for app, rights in rows if "admin" in rights}.values())


def _close(session: Session, tenant: int, key: str) -> int:
    epoch = bump(session, tenant)
    for row in session.scalars(_open(tenant).where(AdminGrant.key == key)).all():
        row.epoch_to = epoch
    session.flush()
    return epoch


def _open(tenant: int) -> Any:
    return select(AdminGrant).where(AdminGrant.tenant_id == tenant, AdminGrant.epoch_to.is_(None))


def _plain(row: AdminGrant, names: Mapping[int, str]) -> Body:
    return {
        "effect": row.effect,
        "rights": list(row.rights),
        "objects": list(row.objects),
        "app": names[row.app_id].partition(":")[2] if row.app_id else None,
        "not_before": _stamp(row.not_before),
        "expires_at": _stamp(row.expires_at),
    }


def _names(session: Session, tenant: int) -> dict[int, str]:
    rows = session.scalars(
        select(Principal).where(
            Principal.tenant_id == tenant,
            Principal.id.in_(select(AdminGrant.principal_id).where(AdminGrant.tenant_id == tenant))
            | Principal.id.in_(select(AdminGrant.app_id).where(AdminGrant.tenant_id == tenant)),
        )
    )
    return {row.id: EVERYONE if row.kind == EVERYONE else f"{row.kind}:{row.key}" for row in rows}


def _stamp(value: datetime | None) -> str | None:
    return value.astimezone(UTC).isoformat() if value else None


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
