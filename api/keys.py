"""API keys: shown once when they are made, known by their prefix afterwards, useless once they are revoked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from api.identity import PEPPER, RIGHTS
from api.runtime import Runtime
from core.clock import db_now
from core.db import now
from core.errors import InvalidError, NotFoundError
from core.secrets import Keyring, key_digest, new_api_key
from core.tables import ApiKey, App, Tenant
from policies.directory import put_app, put_tenant
from policies.grants import administered, grant_everything

ADMIN_APP = "admin"


def create(
    session: Session,
    keyring: Keyring,
    tenant: int,
    app: str,
    rights: Iterable[str],
    *,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Makes a key of an app; the second value is the key itself, which is stored nowhere.

    Raises:
        NotFoundError: there is no such app.
        InvalidError: an unknown right, none, or a time that has passed.
    """
    found = session.scalars(select(App).where(App.tenant_id == tenant, App.key == app)).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no app {app!r}")
    wanted = _checked(rights)
    if expires_at is not None and expires_at <= now(session):
        raise _invalid("expires_at", "is in the past")
    key, prefix = new_api_key()
    row = ApiKey(
        tenant_id=tenant,
        app_id=found.id,
        prefix=prefix,
        digest=key_digest(keyring.derive(PEPPER), key),
        rights=wanted,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return row, key


def revoke(session: Session, tenant: int, prefix: str) -> ApiKey:
    """Makes a key useless from the next call on; doing it twice changes nothing.

    Raises:
        NotFoundError: there is none of that prefix.
    """
    row = find(session, tenant, prefix)
    if row.revoked_at is None:
        session.execute(update(ApiKey).where(ApiKey.id == row.id).values(revoked_at=db_now()))
        session.refresh(row)
    return row


def find(session: Session, tenant: int, prefix: str) -> ApiKey:
    """The key of that prefix.

    Raises:
        NotFoundError: there is none.
    """
    row = session.scalars(select(ApiKey).where(ApiKey.tenant_id == tenant, ApiKey.prefix == prefix)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no key {prefix!r}")
    return row


def app_of(session: Session, tenant: int, prefix: str) -> str | None:
    """Key of the app whose key that is; None: there is no such key, or its app is gone."""
    statement = select(App.key).join(ApiKey, ApiKey.app_id == App.id)
    return session.scalar(statement.where(ApiKey.tenant_id == tenant, App.tenant_id == tenant, ApiKey.prefix == prefix))


def bootstrap(session: Session, runtime: Runtime) -> str | None:
    """At the first start, a key for the app `admin`, returned once; None where the tenant has any key.

    The app acts for nobody: an admin is not a reader.
    """
    tenant = put_tenant(session, runtime.settings.tenant).id
    session.execute(select(Tenant.id).where(Tenant.id == tenant).with_for_update(key_share=True))
    if session.scalars(select(ApiKey.id).where(ApiKey.tenant_id == tenant).limit(1)).first() is not None:
        return None
    put_app(session, tenant, ADMIN_APP, acts_for=[])
    grant_everything(session, tenant, ADMIN_APP)
    row, key = create(session, runtime.keyring, tenant, ADMIN_APP, ["admin"])
    body, after = {"made": row.prefix}, {"app": ADMIN_APP, "rights": row.rights}
    runtime.audit.change(session, tenant, "admin.key.create", "local", body, before=None, after=after)
    return key


def restore(session: Session, tenant: int) -> bool:
    """Where nobody administers any more, gives the app `admin` everything again; False: somebody does.

    For the machine's own command line alone, which is the way back for who is locked out.
    """
    if administered(session, tenant):
        return False
    put_app(session, tenant, ADMIN_APP, acts_for=[])
    grant_everything(session, tenant, ADMIN_APP)
    return True


def _checked(rights: Iterable[str]) -> list[str]:
    wanted = sorted(set(rights))
    if not wanted or not set(wanted) <= set(RIGHTS):
        raise _invalid("rights", f"must be some of {', '.join(RIGHTS)}")
    return wanted


def _invalid(field: str, message: str) -> InvalidError:
    return InvalidError(f"{field} {message}", errors=[{"field": field, "message": message}])
