"""Syncs a directory: read it without a transaction, take it over in one, and say how it went."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from core.audit import Audit
from core.clock import db_in, db_now
from core.db import Database, now
from core.errors import AmbitError, ConflictError, InvalidError, NotFoundError
from core.secrets import Keyring, resolve_secret, secret_names
from core.settings import Settings
from core.tables import Directory
from core.telemetry import logger
from ingest.directories.apply import Counts, DirectoryHeldError, Guard, apply
from ingest.directories.config import LdapConfig
from ingest.directories.snapshot import Snapshot
from ingest.schedule import is_due
from policies.directories import directory_state
from policies.epoch import remember

LEASE_S = 900.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a sync needs of an installation."""

    settings: Settings
    db: Database
    keyring: Keyring

    @property
    def audit(self) -> Audit:
        """The audit under the same keys."""
        return Audit(self.keyring)


def find_directory(session: Session, tenant: int, key: str) -> Directory:
    """The directory of that id.

    Raises:
        NotFoundError: there is none.
    """
    row = session.scalars(
        select(Directory).where(Directory.tenant_id == tenant, Directory.key == key, Directory.state != "deleted")
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no directory {key!r}; `ambit directories list` shows them")
    return row


def configured(session: Session, keyring: Keyring, tenant: int, config: dict[str, Any]) -> LdapConfig:
    """The configuration with its secrets.

    Raises:
        InvalidError: it does not fit; the message names the field.
        SettingError: a secret is not there.
    """
    secrets = {name: resolve_secret(session, keyring, tenant, name) for name in secret_names(config)}
    filled = {
        name: secrets[value["secret"]] if isinstance(value, dict) and set(value) == {"secret"} else value
        for name, value in config.items()
    }
    return checked_config(filled)


def check_shape(config: dict[str, Any]) -> None:
    """As `checked_config`, before the secrets are known.

    Raises:
        InvalidError: it does not fit, or the password stands in it.
    """
    password = config.get("bind_password")
    if password is not None and not (isinstance(password, dict) and set(password) == {"secret"}):
        told = "write {secret: NAME} and keep the password in AMBIT_SECRET_NAME or the stored secrets"
        raise InvalidError(f"config.bind_password: {told}", errors=[{"field": "config.bind_password"}])
    checked_config({**config, **({"bind_password": "x"} if password else {})})


def checked_config(config: dict[str, Any]) -> LdapConfig:
    """The configuration of a directory.

    Raises:
        InvalidError: it does not fit; the message names the field.
    """
    try:
        return LdapConfig.model_validate(config)
    except ValidationError as error:
        told = [
            {
                "field": ".".join(["config", *map(str, one["loc"])]),
                "message": one["msg"].removeprefix("Value error, "),
            }
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        said = "; ".join(f"{one['field']}: {one['message']}" for one in told)
        raise InvalidError(f"the directory's configuration does not fit: {said}", errors=told) from None


def check_directory(parts: Parts, tenant: int, key: str) -> dict[str, int]:
    """Reads a directory and changes nothing; how many users and groups there are.

    Raises:
        DirectoryError: it cannot be read whole.
    """
    with parts.db.read() as session:
        row = find_directory(session, tenant, key)
        config = configured(session, parts.keyring, tenant, row.config)
    found = _read(parts, config)
    return {"users": len(found.users), "groups": len(found.groups)}


def sync_directory(parts: Parts, tenant: int, key: str, *, approve: bool = False, actor: str = "local") -> Counts:
    """Reads a directory and takes it over. Its data is as old as the start of the reading.

    Args:
        approve: however much that removes.

    Raises:
        DirectoryError: it cannot be read whole; nothing changed.
        DirectoryHeldError: it would remove too much; nothing changed.
        ConflictError: another sync of it is under way.
    """
    id_, config, began = _claim(parts, tenant, key)
    try:
        found = _read(parts, config)
        return _take_over(parts, id_, found, began, approve=approve, actor=actor)
    except AmbitError as error:
        _note_failure(parts, id_, error)
        raise
    finally:
        with parts.db.write() as session:
            session.execute(update(Directory).where(Directory.id == id_).values(lease_until=None))


def sync_due(parts: Parts) -> int:
    """Syncs every directory whose schedule has passed; how many that were. What goes wrong is noted and told."""
    with parts.db.read() as session:
        at = now(session)
        rows = session.scalars(select(Directory).where(Directory.state == "active")).all()
        due = [(one.tenant_id, one.key) for one in rows if _is_due(one, at)]
    for tenant, key in due:
        try:
            sync_directory(parts, tenant, key, actor="schedule")
        except AmbitError as error:
            logger().log(logging.WARNING, "directory.unsynced", code=error.code, reason=error.detail)
    return len(due)


def _is_due(row: Directory, at: datetime) -> bool:
    if row.lease_until is not None and row.lease_until > at:
        return False
    return row.schedule is not None and (row.tried_at is None or is_due(row.schedule, row.tried_at, at))


def _claim(parts: Parts, tenant: int, key: str) -> tuple[int, LdapConfig, datetime]:
    with parts.db.write() as session:
        row = find_directory(session, tenant, key)
        config = configured(session, parts.keyring, tenant, row.config)
        mine: Any = session.execute(
            update(Directory)
            .where(Directory.id == row.id, or_(Directory.lease_until.is_(None), Directory.lease_until < db_now()))
            .values(lease_until=db_in(LEASE_S), tried_at=db_now())
        )
        if not mine.rowcount:
            raise ConflictError(f"a sync of directory {key!r} is under way")
        return row.id, config, now(session)


def _read(parts: Parts, config: LdapConfig) -> Snapshot:
    from ingest.directories.ldap import LdapReader  # a library that only directories need

    return LdapReader(config, parts.settings.outbound_allowed).read()


def _take_over(parts: Parts, id_: int, found: Snapshot, began: datetime, *, approve: bool, actor: str) -> Counts:
    settings = parts.settings
    guard = None if approve else Guard(settings.deletion_guard, settings.deletion_guard_min)
    with parts.db.write() as session:
        row = session.get_one(Directory, id_, with_for_update=True)
        if row.state == "deleted":
            raise ConflictError(f"directory {row.key!r} was deleted meanwhile")
        counts = apply(session, row, found, guard)
        remember(session, row.tenant_id, "directory", row, directory_state(row))
        before = {"outcome": row.outcome, "synced_at": row.synced_at.isoformat() if row.synced_at else None}
        row.synced_at, row.outcome, row.told = began, "succeeded", counts.as_dict()
        after = {"outcome": row.outcome, "synced_at": began.isoformat()}
        told = {"directory": row.key, "approved": approve, **counts.as_dict(), "taken": len(counts.taken)}
        parts.audit.change(session, row.tenant_id, "directory.sync", actor, told, before=before, after=after)
        return counts


def _note_failure(parts: Parts, id_: int, error: AmbitError) -> None:
    outcome = "held" if isinstance(error, DirectoryHeldError) else "failed"
    told = {"code": error.code, "detail": error.detail}
    with parts.db.write() as session:
        session.execute(update(Directory).where(Directory.id == id_).values(outcome=outcome, told=told))
