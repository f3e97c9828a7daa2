"""Sources: registering, changing and deleting them, and which of them a person may know of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from api.schemas.sources import SourceAdminView, SourceBody, SourceChange
from core.clock import db_now
from core.db import now
from core.errors import ConflictError, InvalidError, NotFoundError
from core.tables import AclNode, Document, Run, Source, Tenant
from ingest.connectors.registry import make
from ingest.deletion import delete_documents
from ingest.erasure.asking import refuse_erasing
from ingest.model import ConnectorContext
from ingest.queue import LISTED
from ingest.runs import OPEN_RUN, cancel, prioritise
from ingest.schedule import check_schedule
from ingest.sources import root_access
from policies.decide import source_gates
from policies.epoch import bump, remember, source_state
from policies.nodes import digest, put_container, release
from policies.rules_places import ruled
from policies.scope import readable_nodes
from policies.subject import Subject

PUSH = "push"


def find(session: Session, tenant: int, key: str, *, deleted: bool = False) -> Source:
    """The source of that key.

    Raises:
        NotFoundError: there is none, or it is deleted and `deleted` is not given.
    """
    row = session.scalars(select(Source).where(Source.tenant_id == tenant, Source.key == key)).one_or_none()
    if row is None or (row.state == "deleted" and not deleted):
        raise not_found(key)
    return row


def not_found(key: str) -> NotFoundError:
    """The one answer for a source that does not exist and for one that the caller may not know of."""
    return NotFoundError(f"there is no source {key!r}")


def create(session: Session, tenant: int, body: SourceBody) -> Source:
    """Registers a source, or takes up a deleted one again.

    Raises:
        ConflictError: it exists, or is being erased.
        InvalidError: its configuration or access does not fit.
    """
    row = session.scalars(select(Source).where(Source.tenant_id == tenant, Source.key == body.id)).one_or_none()
    if row is not None and row.state != "deleted":
        raise ConflictError(f"source {body.id!r} exists; change it instead")
    if row is None:
        row = Source(tenant_id=tenant, key=body.id, connector=body.connector, epoch_from=bump(session, tenant))
        session.add(row)
    else:
        refuse_erasing(session, tenant, "source", row.id, f"source {row.key!r}")
        remember(session, tenant, "source", row, decisive(row))
    row.connector, row.config, row.base = body.connector, body.config, body.base
    row.access, row.schedule, row.max_access_age_s = body.access, body.schedule, body.max_access_age_s
    row.priority = body.priority
    row.state, row.cursor, row.access_cursor, row.access_synced_at = "active", None, None, None
    _check(row)
    session.flush()
    settle_root(session, row)
    return row


def change(session: Session, row: Source, body: SourceChange) -> None:
    """Changes what `body` states. Access that the source's root states itself stays as it is until the next sync.

    Raises:
        InvalidError: the configuration or access does not fit.
    """
    given = body.model_dump(exclude_unset=True)
    paused, priority = given.pop("paused", None), given.pop("priority", None)
    before = decisive(row)
    for name, value in given.items():
        if value is None and name != "max_access_age_s":
            raise InvalidError(f"{name} is null; leave it out", errors=[{"field": name, "message": "null"}])
        setattr(row, name, value)
    if "config" in given:
        row.cursor = row.access_cursor = None
    if priority is not None:
        prioritise(session, row, priority)
    if paused is not None:
        row.state = "paused" if paused else "active"
    _check(row)
    if decisive(row) != before:
        remember(session, row.tenant_id, "source", row, before)
    session.flush()
    settle_root(session, row)


def refreshed(session: Session, row: Source) -> SourceAdminView:
    """The source as it stands after a change."""
    session.flush()
    session.refresh(row)
    return SourceAdminView.of(row)


def delete(session: Session, row: Source) -> int:
    """Ends a source: nothing of it is readable from this transaction on. Returns how many documents that was."""
    remember(session, row.tenant_id, "source", row, decisive(row))
    row.state = "deleted"
    for run in session.scalars(select(Run).where(Run.source_id == row.id, Run.state.in_(OPEN_RUN))).all():
        cancel(session, run)
    gone = session.scalars(select(Document.id).where(Document.source_id == row.id, Document.state != "deleted")).all()
    delete_documents(session, row.tenant_id, gone)
    return len(gone)


def decisive(row: Source) -> dict[str, Any]:
    """What of a source goes into decisions."""
    return source_state(row)


def settle_root(session: Session, row: Source) -> AclNode | None:
    """For a push source, its root with the access of the registration, at once; other sources state theirs in a sync.

    Nothing of a push source is listed, so no sync would ever apply what a change of access holds back.
    """
    if row.connector != PUSH:
        return None
    spec = root_access(row.access)
    root = session.scalars(select(AclNode).where(AclNode.source_id == row.id, AclNode.key == "")).one_or_none()
    if root is None or root.access_hash != digest(spec) or root.pending is not None:
        tenant = session.get_one(Tenant, row.tenant_id)
        root = put_container(session, tenant, row.id, key="", parent=None, title=row.key, spec=spec)
        release(session, [root])
    if row.access_synced_at is None:
        row.access_synced_at = db_now()
    return root


def readable_documents(subject: Subject, session: Session) -> Select[Any]:
    """The statement for documents that the person may read now, each with a version."""
    at = now(session)
    gates = source_gates(session, subject, at=at)
    open_sources = sorted(id_ for id_, shut in gates.items() if shut is None)
    nodes = readable_nodes(session, subject, at, ruled(session, subject, at))
    return select(Document).where(
        Document.tenant_id == subject.tenant,
        Document.state == "live",
        Document.version_id.is_not(None),
        Document.source_id.in_([] if subject.nobody else open_sources),
        Document.node_id.in_(nodes),
        or_(Document.pending_node_id.is_(None), Document.pending_node_id.in_(nodes)),
    )


def readable_sources(session: Session, subject: Subject) -> Select[Any]:
    """The statement for sources in which the person may read at least one document."""
    documents = readable_documents(subject, session).with_only_columns(Document.source_id)
    return select(Source).where(Source.tenant_id == subject.tenant, Source.id.in_(documents))


def _check(row: Source) -> None:
    if row.connector == PUSH and row.max_access_age_s is not None:
        field = "max_access_age_s"
        raise InvalidError("a push source has no sync that could renew its access", errors=[{"field": field}])
    spec = _access(row)
    _check_schedule(row.schedule)
    context = ConnectorContext(base=Path(row.base), root_access=spec)
    make(row.connector, row.config, context).close()


def _check_schedule(schedule: dict[str, Any]) -> None:
    for kind, times in schedule.items():
        field = f"schedule.{kind}"
        if kind not in LISTED:
            message = f"{kind!r} is no kind of sync; write one of {', '.join(LISTED)}"
            raise InvalidError(message, errors=[{"field": field, "message": message}])
        try:
            check_schedule(times)
        except InvalidError as error:
            raise InvalidError(error.detail, errors=[{"field": field, "message": error.detail}]) from error


def _access(row: Source) -> Any:
    try:
        return root_access(row.access)
    except InvalidError as error:
        raise InvalidError(error.detail, errors=[{"field": "access", "message": error.detail}]) from error
