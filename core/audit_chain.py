"""The audit's chain: entries bound to one another in batches, so that none can be changed, moved or taken out unseen.

An entry is whole by its own MAC from the moment it is written. Its place in the chain it gets a little later, in the
order in which entries are found, which is not always that of their ids: a transaction that began earlier may commit
later. What cannot be told from within is that the newest entries are missing; keep a head elsewhere for that.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.audit import SEALED, Audit
from core.db import Database
from core.errors import InvalidError
from core.tables import AuditEntry, Tenant

BATCH = 500
_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_START = bytes(32)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: how many entries it holds, and the value that stands for all of them."""

    seq: int
    value: bytes

    def __str__(self) -> str:
        """As it is printed and kept elsewhere."""
        return f"{self.seq}:{self.value.hex()}"


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at every entry found.

    Attributes:
        redacted: of how many entries an erasure struck something out.
        wrong: names entries by id or place, each with what is wrong.
    """

    head: Head
    entries: int
    redacted: int
    wrong: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        told = {"whole": not self.wrong, "entries": self.entries, "redacted": self.redacted}
        return {**told, "head": str(self.head), "wrong": list(self.wrong)}


def read_head(text: str) -> Head:
    """A head as it was printed.

    Raises:
        InvalidError: it is none.
    """
    found = _HEAD.fullmatch(text.strip())
    if found is None:
        raise InvalidError(f"{text!r} is no head; write it as `ambit audit verify` printed it")
    return Head(int(found[1]), bytes.fromhex(found[2]))


def chain_all(db: Database, audit: Audit) -> int:
    """Chains what waits, of every tenant; how many entries that were."""
    with db.read() as session:
        tenants = session.scalars(select(Tenant.id).order_by(Tenant.id)).all()
    return sum(chain_tenant(db, audit, tenant) for tenant in tenants)


def chain_tenant(db: Database, audit: Audit, tenant: int) -> int:
    """Chains what waits of one tenant, a batch a transaction; how many entries that were."""
    count = 0
    while done := _chain_some(db, audit, tenant):
        count += done
    return count


def _chain_some(db: Database, audit: Audit, tenant: int) -> int:
    if not _waiting(db, tenant):
        return 0
    with db.write(tenant) as session:
        session.execute(select(Tenant.id).where(Tenant.id == tenant).with_for_update(key_share=True))
        head = head_of(session, tenant)
        rows = session.execute(_waits(tenant).limit(BATCH)).all()
        linked = []
        for row in rows:
            head = Head(head.seq + 1, audit.link(head.value, head.seq + 1, row.mac))
            linked.append({"id": row.id, "seq": head.seq, "chain": head.value})
        if linked:
            session.execute(update(AuditEntry), linked)
        return len(linked)


def _waiting(db: Database, tenant: int) -> bool:
    with db.read(tenant) as session:
        return session.execute(_waits(tenant).limit(1)).first() is not None


def _waits(tenant: int) -> Any:
    unchained = (AuditEntry.tenant_id == tenant, AuditEntry.seq.is_(None))
    return select(AuditEntry.id, AuditEntry.mac).where(*unchained).order_by(AuditEntry.id)


def head_of(session: Session, tenant: int) -> Head:
    """Where the chain of a tenant ends."""
    row = session.execute(
        select(AuditEntry.seq, AuditEntry.chain)
        .where(AuditEntry.tenant_id == tenant, AuditEntry.seq.is_not(None))
        .order_by(AuditEntry.seq.desc())
        .limit(1)
    ).first()
    return Head(0, _START) if row is None else Head(row.seq, row.chain)


def verify(session: Session, audit: Audit, tenant: int, anchor: Head | None = None) -> Verified:
    """Looks at every entry, chained and waiting, and whether a head that was kept elsewhere is in the chain."""
    head, count, redacted = Head(0, _START), 0, 0
    wrong: list[str] = []
    anchored = anchor is None
    for row in _chained(session, tenant):
        count, redacted = count + 1, redacted + (row.redaction is not None)
        expected = Head(head.seq + 1, audit.link(head.value, head.seq + 1, row.mac))
        if row.seq != expected.seq:
            wrong.append(f"place {expected.seq}: missing, with all up to entry {row.id}")
        elif not hmac.compare_digest(row.chain or b"", expected.value):
            wrong.append(f"entry {row.id}: does not follow the one before")
        if not _proven(audit, row):
            wrong.append(f"entry {row.id}: was changed")
        head = Head(row.seq or 0, row.chain or b"")
        anchored = anchored or head == anchor
    for row in session.scalars(_of(tenant).where(AuditEntry.seq.is_(None)).execution_options(yield_per=BATCH)):
        count, redacted = count + 1, redacted + (row.redaction is not None)
        if not _proven(audit, row):
            wrong.append(f"entry {row.id}: was changed")
    if not anchored:
        wrong.append(f"head {anchor}: is not in the chain; what it stood for was taken out or made anew")
    return Verified(head, count, redacted, tuple(wrong))


def _of(tenant: int) -> Any:
    return select(AuditEntry).where(AuditEntry.tenant_id == tenant).order_by(AuditEntry.id)


def _chained(session: Session, tenant: int) -> Iterator[AuditEntry]:
    """Chained entries in the order of the chain, a few at a time."""
    last = 0
    while rows := _next(session, tenant, last):
        yield from rows
        last = rows[-1].seq or last
        session.expunge_all()


def _next(session: Session, tenant: int, last: int) -> Sequence[AuditEntry]:
    statement = select(AuditEntry).where(AuditEntry.tenant_id == tenant, AuditEntry.seq > last)
    return session.scalars(statement.order_by(AuditEntry.seq).limit(BATCH)).all()


def _proven(audit: Audit, row: AuditEntry) -> bool:
    """Whether an entry says what it was written with, or what an erasure left of that."""
    entry = {name: getattr(row, name) for name in SEALED}
    if row.redaction is None:
        return hmac.compare_digest(row.mac, audit.mac(entry))
    return hmac.compare_digest(row.redaction, audit.redaction(row.mac, entry))
