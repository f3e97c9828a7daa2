"""Audit entries of queries: durable before anything is shown, several in one commit, none failing another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.audit import Audit
from core.db import Database
from core.secrets import Keyring
from core.tables import AuditEntry
from policies.directory import put_tenant
from retrieve.recording import QueryLog


@pytest.fixture
def tenant(sqlite_db: Database) -> int:
    with sqlite_db.write() as session:
        return put_tenant(session, "default").id


@pytest.fixture
def log(sqlite_db: Database, tmp_path: Path) -> QueryLog:
    return QueryLog(sqlite_db, Audit(Keyring(tmp_path / "keys")))


def entries(db: Database) -> list[Any]:
    with db.read() as session:
        return [one["n"] for one in session.scalars(select(AuditEntry.body).order_by(AuditEntry.id))]


def test_an_entry_is_committed_when_append_returns(log: QueryLog, sqlite_db: Database, tenant: int) -> None:
    assert log.append(tenant, "user:ana", lambda session: {"n": 1}) == {"n": 1}
    assert entries(sqlite_db) == [1]


def test_those_who_wait_together_share_a_commit(
    log: QueryLog, sqlite_db: Database, tenant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, transactions = sqlite_db.write, list[int]()
    monkeypatch.setattr(sqlite_db, "write", lambda *given: transactions.append(1) or write(*given))
    begun, go = threading.Event(), threading.Event()

    def slow(_: Session) -> dict[str, Any]:
        begun.set()
        assert go.wait(10)
        return {"n": 0}

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(log.append, tenant, "user:ana", slow)
        assert begun.wait(10)
        rest = [pool.submit(log.append, tenant, "user:bob", lambda s, n=n: {"n": n}) for n in range(1, 9)]
        while len(log._waiting) < 8:
            threading.Event().wait(0.005)
        go.set()
        assert sorted(one.result()["n"] for one in [first, *rest]) == list(range(9))
    assert sorted(entries(sqlite_db)) == list(range(9))
    assert len(transactions) == 2


def test_one_that_fails_is_told_and_fails_nobody_else(log: QueryLog, sqlite_db: Database, tenant: int) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(_: Session) -> dict[str, Any]:
        begun.set()
        assert go.wait(10)
        return {"n": 0}

    def broken(_: Session) -> dict[str, Any]:
        raise ValueError("no entry")

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(log.append, tenant, "user:ana", slow)
        assert begun.wait(10)
        bad = pool.submit(log.append, tenant, "user:eve", broken)
        good = pool.submit(log.append, tenant, "user:bob", lambda s: {"n": 1})
        while len(log._waiting) < 2:
            threading.Event().wait(0.005)
        go.set()
        assert first.result() == {"n": 0}
        assert good.result() == {"n": 1}
        with pytest.raises(ValueError, match="no entry"):
            bad.result()
    assert entries(sqlite_db) == [0, 1]
