"""Who was last shown documents of which place, as the audit tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.tables import AuditEntry, Document, Principal

_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Usage:
    """Times by person and node, both ids: when a document that stands there now was last shown to the person."""

    times: Mapping[tuple[int, int], datetime]

    def last(self, person: int, node: int) -> datetime | None:
        """When the person was last shown a document of the node."""
        return self.times.get((person, node))

    def pairs(self) -> Iterable[tuple[int, int]]:
        """Each person with each node of which they were shown something."""
        return self.times.keys()

    def nodes(self) -> set[int]:
        """Nodes of which anybody was shown anything."""
        return {node for _, node in self.times}


def load_usage(session: Session, tenant: int, since: datetime) -> Usage:
    """What the entries of queries since then say. A person may be named by id or by address."""
    shown: dict[tuple[str, str], datetime] = {}
    entries = session.execute(
        select(AuditEntry.actor, AuditEntry.body, AuditEntry.at)
        .where(AuditEntry.tenant_id == tenant, AuditEntry.kind == "query", AuditEntry.at >= since)
        .order_by(AuditEntry.id)
        .execution_options(yield_per=1000)
    )
    for actor, body, at in entries:
        shown |= {(actor, document): at for document in body.get("documents", ())}
    people = _people(session, tenant)
    nodes = _nodes(session, tenant, {document for _, document in shown})
    times: dict[tuple[int, int], datetime] = {}
    for (actor, document), at in shown.items():
        person, node = people.get(actor.removeprefix("user:").casefold()), nodes.get(document)
        if person is not None and node is not None:
            times[person, node] = max(at, times.get((person, node), at))
    return Usage(times)


def _people(session: Session, tenant: int) -> dict[str, int]:
    rows = session.execute(
        select(Principal.key, Principal.subject_id).where(
            Principal.tenant_id == tenant, Principal.kind == "user", Principal.subject_id.is_not(None)
        )
    )
    return {key: subject for key, subject in rows if subject is not None}


def _nodes(session: Session, tenant: int, documents: Iterable[str]) -> dict[str, int]:
    wanted, found = sorted(set(documents)), dict[str, int]()
    for start in range(0, len(wanted), _BATCH):
        rows = session.execute(
            select(Document.public_id, Document.node_id).where(
                Document.tenant_id == tenant, Document.public_id.in_(wanted[start : start + _BATCH])
            )
        )
        found.update((public, node) for public, node in rows)
    return found
