"""The audit's chain: whole while nobody meddles, and whatever somebody with the database does is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from core.audit import Audit
from core.audit_chain import Head, chain_all, chain_tenant, head_of, read_head, verify
from core.db import Database
from core.errors import InvalidError
from core.secrets import Keyring
from core.tables import AuditEntry
from policies.directory import put_tenant

BODY = {"user": "ana", "before": None, "after": {"text": "Zoë", "number": 1e16, "list": [1, 2.5, True]}}


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(Keyring(tmp_path / "keys"))


@pytest.fixture
def tenant(db: Database, audit: Audit) -> int:
    """A tenant with six entries, five of them chained; another's entry stands among them."""
    with db.write() as session:
        tenant = put_tenant(session, "company").id
        other = put_tenant(session, "other").id
        for number in range(5):
            audit.append(session, tenant, "query", "user:ana", {**BODY, "number": number})
            audit.append(session, other, "query", "user:bob", {})
    assert chain_all(db, audit) == 10
    assert chain_all(db, audit) == 0
    with db.write() as session:
        audit.append(session, tenant, "query", "user:ana", BODY, request="req_1")
    return tenant


def wrong(db: Database, audit: Audit, tenant: int, anchor: Head | None = None) -> tuple[str, ...]:
    with db.read(tenant) as session:
        return verify(session, audit, tenant, anchor).wrong


def test_what_nobody_touched_is_whole_and_grows_from_its_head(db: Database, tenant: int, audit: Audit) -> None:
    with db.read(tenant) as session:
        found = verify(session, audit, tenant)
        head = head_of(session, tenant)
    assert (found.wrong, found.entries, found.head.seq) == ((), 6, 5)
    assert (found.head, read_head(str(head))) == (head, head)
    assert chain_tenant(db, audit, tenant) == 1
    with db.read(tenant) as session:
        assert verify(session, audit, tenant, head).head.seq == 6, "an earlier head is still in it"


def test_an_entry_that_is_committed_late_is_chained_behind(db: Database, audit: Audit) -> None:
    with db.write() as session:
        tenant = put_tenant(session, "company").id
        for _ in range(3):
            audit.append(session, tenant, "query", "local", BODY)
    with db.write() as session:
        late = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).first()
        assert late is not None
        kept = {column.name: getattr(late, column.name) for column in AuditEntry.__table__.columns}
        session.delete(late)
    chain_tenant(db, audit, tenant)
    with db.write() as session:
        session.execute(insert(AuditEntry), [kept])
    chain_tenant(db, audit, tenant)
    with db.read(tenant) as session:
        assert verify(session, audit, tenant).wrong == ()
        places = dict(
            session.execute(select(AuditEntry.id, AuditEntry.seq).where(AuditEntry.tenant_id == tenant)).all()
        )
    assert places[kept["id"]] == 3


def _changed(session: Session, ids: list[int]) -> None:
    session.execute(update(AuditEntry).where(AuditEntry.id == ids[2]).values(body={"user": "eve"}))


def _renamed(session: Session, ids: list[int]) -> None:
    session.execute(update(AuditEntry).where(AuditEntry.id == ids[5]).values(actor="user:eve"))


def _taken_out(session: Session, ids: list[int]) -> None:
    session.execute(delete(AuditEntry).where(AuditEntry.id == ids[2]))


def _closed_up(session: Session, ids: list[int]) -> None:
    _taken_out(session, ids)
    for one in ids[3:5]:
        session.execute(update(AuditEntry).where(AuditEntry.id == one).values(seq=AuditEntry.seq - 1))


def _swapped(session: Session, ids: list[int]) -> None:
    for one, seq in ((ids[1], 99), (ids[2], 2), (ids[1], 3)):
        session.execute(update(AuditEntry).where(AuditEntry.id == one).values(seq=seq))


@pytest.mark.parametrize("meddle", [_changed, _renamed, _taken_out, _closed_up, _swapped])
def test_meddling_is_found(
    db: Database, tenant: int, audit: Audit, meddle: Callable[[Session, list[int]], None]
) -> None:
    with db.write() as session:
        ids = list(session.scalars(select(AuditEntry.id).where(AuditEntry.tenant_id == tenant).order_by(AuditEntry.id)))
        meddle(session, ids)
    assert wrong(db, audit, tenant) != ()


def test_a_cut_end_is_found_by_a_head_that_was_kept(db: Database, tenant: int, audit: Audit) -> None:
    with db.write() as session:
        head = head_of(session, tenant)
        session.execute(delete(AuditEntry).where(AuditEntry.tenant_id == tenant, AuditEntry.seq == 5))
    assert wrong(db, audit, tenant) == ()
    (told,) = wrong(db, audit, tenant, head)
    assert "not in the chain" in told


def test_what_is_no_head_is_refused() -> None:
    for text in ("", "5", "x:00", "5:zz"):
        with pytest.raises(InvalidError, match="no head"):
            read_head(text)
