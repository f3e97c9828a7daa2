"""Writes and deletes declared directories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.tables import Directory
from ingest.directories.apply import withdraw
from ingest.directories.sync import find_directory
from policies.directories import directory_state
from policies.epoch import bump, remember


def put_directory(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
    """Makes or changes a registration. A directory that is new has given nothing yet; its first sync does."""
    wanted = {"config": dict(body["config"]), "schedule": body["schedule"], "max_age_s": body["max_age"]}
    row = session.scalars(select(Directory).where(Directory.tenant_id == tenant, Directory.key == key)).one_or_none()
    if row is None:
        session.add(Directory(tenant_id=tenant, key=key, epoch_from=bump(session, tenant), **wanted))
    else:
        remember(session, tenant, "directory", row, directory_state(row))
        if row.state == "deleted":
            row.state, row.synced_at, row.tried_at, row.outcome, row.told = "active", None, None, "never", {}
        for name, value in wanted.items():
            setattr(row, name, value)
    session.flush()


def delete_directory(session: Session, tenant: int, key: str) -> None:
    """Ends a directory: whatever it alone gave is gone with this transaction.

    Raises:
        NotFoundError: there is no such directory.
    """
    row = find_directory(session, tenant, key)
    remember(session, tenant, "directory", row, directory_state(row))
    withdraw(session, row)
    row.state = "deleted"
    session.flush()
