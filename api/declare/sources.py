"""Registers and deletes sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from core.tables import Document, Run, Source
from ingest.deletion import delete_documents
from ingest.runs import OPEN_RUN, cancel
from policies.epoch import bump, remember


def put_source(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
    """Makes or changes a registration from its canonical body; one that was deleted starts anew."""
    wanted = {
        "connector": body["connector"],
        "config": dict(body["config"]),
        "access": dict(body["access"]),
        "schedule": {name: cron for name, cron in body["schedule"].items() if cron is not None},
        "max_access_age_s": body["max_access_age"],
        "base": body["base"],
    }
    source = _find(session, tenant, key)
    if source is None:
        session.add(Source(tenant_id=tenant, key=key, epoch_from=bump(session, tenant), **wanted))
    else:
        _change(session, source, wanted)
    session.flush()


def delete_source(session: Session, tenant: int, key: str) -> None:
    """Ends a source: its runs stop and its documents are gone from answers with this transaction.

    Raises:
        NotFoundError: there is no such source.
    """
    source = _find(session, tenant, key)
    if source is None or source.state == "deleted":
        raise NotFoundError(f"there is no source {key!r}")
    for run in session.scalars(select(Run).where(Run.source_id == source.id, Run.state.in_(OPEN_RUN))):
        cancel(session, run)
    documents = session.scalars(
        select(Document.id).where(Document.source_id == source.id, Document.state != "deleted")
    ).all()
    delete_documents(session, tenant, documents)
    remember(session, tenant, "source", source, gates(source))
    source.state = "deleted"
    session.flush()


def gates(source: Source) -> dict[str, Any]:
    """What of a source decides who reads it."""
    return {"state": source.state, "max_access_age_s": source.max_access_age_s}


def _change(session: Session, source: Source, wanted: dict[str, Any]) -> None:
    before = gates(source)
    elsewhere = any(getattr(source, name) != wanted[name] for name in ("connector", "config", "base"))
    if source.state == "deleted":
        source.state, source.access_synced_at, source.content_synced_at = "active", None, None
        elsewhere = True
    if elsewhere:
        source.cursor = None
    for name, value in wanted.items():
        setattr(source, name, value)
    if gates(source) != before:
        remember(session, source.tenant_id, "source", source, before)


def _find(session: Session, tenant: int, key: str) -> Source | None:
    return session.scalars(select(Source).where(Source.tenant_id == tenant, Source.key == key)).one_or_none()
