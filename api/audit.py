"""Reading the audit: newest first page by page, or oldest first as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Text, cast, select
from sqlalchemy.orm import Session

from api.paging import read_cursor, write_cursor
from core.audit_chain import BATCH
from core.db import json_text
from core.errors import InvalidError
from core.tables import AuditEntry

LOOKED_AT = 20_000
"""Most entries that one page of a search by subject looks at, so that no request takes long."""
_ANY = ".*"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: those that fit all that is not None.

    Attributes:
        action: a kind, or several as in `admin.*`.
        subject: what an entry is about or names, as `kind:id`.
        since, until: half-open.
        request: id of an HTTP request.
    """

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    request: str | None = None


def page(
    session: Session, tenant: int, wanted: Wanted, *, limit: int, cursor: str | None
) -> tuple[list[AuditEntry], str | None]:
    """Entries, the newest first, and the cursor of the next page, which may come before a page is full: a search by
    subject looks at so many entries and no more.

    Raises:
        InvalidError: the cursor is none of ours, or the subject is none.
    """
    statement = _statement(tenant, wanted).order_by(AuditEntry.id.desc())
    if cursor is not None:
        statement = statement.where(AuditEntry.id < read_cursor(cursor))
    if wanted.subject is None:
        rows = session.scalars(statement.limit(limit + 1)).all()
        return list(rows[:limit]), write_cursor(rows[limit - 1].id) if len(rows) > limit else None
    found: list[AuditEntry] = []
    looked, last = 0, 0
    for row in session.scalars(statement.limit(LOOKED_AT).execution_options(yield_per=BATCH)):
        looked, last = looked + 1, row.id
        found += [row] if names(row.body, wanted.subject) else []
        if len(found) == limit:
            break
    more = len(found) == limit or looked == LOOKED_AT
    return found, write_cursor(last) if more else None


def export(session: Session, tenant: int, wanted: Wanted) -> Iterator[AuditEntry]:
    """All entries, the oldest first."""
    statement = _statement(tenant, wanted).order_by(AuditEntry.id).execution_options(yield_per=BATCH)
    for row in session.scalars(statement):
        if wanted.subject is None or names(row.body, wanted.subject):
            yield row


def told(row: AuditEntry) -> dict[str, Any]:
    """An entry as plain JSON. `chain` is null until it is chained."""
    return {
        "id": row.id,
        "at": row.at.isoformat(),
        "actor": row.actor,
        "action": row.kind,
        "request_id": row.request,
        "body": row.body,
        "mac": row.mac.hex(),
        "seq": row.seq,
        "chain": row.chain.hex() if row.chain else None,
    }


def names(value: Any, subject: str, key: str = "") -> bool:
    """Whether a body names a subject: as `kind:id` itself, or as the id where the member says the kind."""
    if isinstance(value, dict):
        return any(names(one, subject, str(name)) for name, one in value.items())
    if isinstance(value, list):
        return any(names(one, subject, key) for one in value)
    if not isinstance(value, str):
        return False
    kind, _, id_ = subject.partition(":")
    if value in (subject, f"{kind.capitalize()}/{id_}"):
        return True
    if key in (kind, f"{kind}s", "id"):
        return value == id_
    return kind == "source" and key in ("place", "places") and value.partition(":")[0] == id_


def _statement(tenant: int, wanted: Wanted) -> Select[Any]:
    statement = select(AuditEntry).where(AuditEntry.tenant_id == tenant)
    if wanted.actor is not None:
        statement = statement.where(AuditEntry.actor == wanted.actor)
    if wanted.action is not None and wanted.action.endswith(_ANY):
        statement = statement.where(AuditEntry.kind.startswith(wanted.action[: -len("*")], autoescape=True))
    elif wanted.action is not None:
        statement = statement.where(AuditEntry.kind == wanted.action)
    if wanted.since is not None:
        statement = statement.where(AuditEntry.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(AuditEntry.at < wanted.until)
    if wanted.request is not None:
        statement = statement.where(AuditEntry.request == wanted.request)
    if wanted.subject is not None:
        statement = statement.where(_may_name(wanted.subject))
    return statement


def _may_name(subject: str) -> Any:
    """What leaves most entries out before `names` looks: the id stands somewhere in the stored text."""
    kind, _, id_ = subject.partition(":")
    if not kind or not id_:
        raise InvalidError("a subject is written kind:id, as in user:ana", errors=[{"field": "subject"}])
    return cast(AuditEntry.body, Text).contains(json_text(id_)[1:-1], autoescape=True)
