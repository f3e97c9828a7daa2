"""Writes and deletes declared sources, by the rules that hold for those registered over the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import sources
from core.tables import Source
from ingest.erasure.asking import refuse_erasing
from ingest.runs import prioritise
from policies.epoch import bump, remember


def put_source(session: Session, tenant: int, key: str, body: Mapping[str, Any]) -> None:
    """Makes or changes a registration from its canonical body; one that was deleted starts anew."""
    wanted = {
        "connector": body["connector"],
        "config": dict(body["config"]),
        "access": dict(body["access"]),
        "schedule": dict(body["schedule"]),
        "max_access_age_s": body["max_access_age"],
        "base": body["base"],
        "priority": body["priority"],
    }
    source = session.scalars(select(Source).where(Source.tenant_id == tenant, Source.key == key)).one_or_none()
    if source is None:
        source = Source(tenant_id=tenant, key=key, epoch_from=bump(session, tenant), **wanted)
        session.add(source)
    else:
        _change(session, source, wanted)
    session.flush()
    sources.settle_root(session, source)


def delete_source(session: Session, tenant: int, key: str) -> None:
    """Ends a source: its runs stop and its documents are gone from answers with this transaction.

    Raises:
        NotFoundError: there is no such source.
    """
    sources.delete(session, sources.find(session, tenant, key))
    session.flush()


def _change(session: Session, source: Source, wanted: dict[str, Any]) -> None:
    """A source that points elsewhere is listed from the start: its cursor speaks of another place."""
    before = sources.decisive(source)
    elsewhere = any(getattr(source, name) != wanted[name] for name in ("connector", "config", "base"))
    if source.state == "deleted":
        refuse_erasing(session, source.tenant_id, "source", source.id, f"source {source.key!r}")
        source.state, source.access_synced_at, source.content_synced_at = "active", None, None
        elsewhere = True
    if elsewhere:
        source.cursor = source.access_cursor = None
    if source.priority != wanted["priority"]:
        prioritise(session, source, wanted["priority"])
    for name, value in wanted.items():
        setattr(source, name, value)
    if sources.decisive(source) != before:
        remember(session, source.tenant_id, "source", source, before)
