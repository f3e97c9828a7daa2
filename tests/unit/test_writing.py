"""A transaction that writes is one transaction, whether a statement goes to the driver alone or through a session."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, select, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.orm import Session

from core import tenancy
from core.db import Database
from core.prepared import Prepared, insertion
from core.tables import Group
from core.tenancy import TenantMissingError
from core.writing import innermost
from policies.directory import put_tenant
from policies.epoch import bump, bumped, current

_PUT = insertion(Group, "tenant_id", "key", "origin", "epoch_from")
_KEYS = Prepared(select(Group.key).where(Group.tenant_id == bindparam("tenant")).order_by(Group.id))


def _tenant(db: Database) -> int:
    with db.write() as session:
        return put_tenant(session, "default").id


def _put(session: Session, tenant: int, key: str | None) -> None:
    _PUT.all(session, tenant_id=tenant, key=key, origin="admin", epoch_from=1)


def _keys(db: Database, tenant: int) -> list[str]:
    with db.read() as session:
        return [row.key for row in _KEYS.all(session, tenant=tenant)]


def test_prepared_statements_alone_are_committed_by_the_driver(db: Database) -> None:
    tenant = _tenant(db)
    with db.write(tenant) as session:
        _put(session, tenant, "one")
        assert not session.whole
    assert _keys(db, tenant) == ["one"]


def test_what_was_written_before_and_after_it_became_whole_is_one_transaction(db: Database) -> None:
    tenant = _tenant(db)
    with db.write(tenant) as session:
        _put(session, tenant, "one")
        session.add(Group(tenant_id=tenant, key="two", origin="admin", epoch_from=1))
        _put(session, tenant, "three")  # which must not overtake what the session holds back
        assert [row.key for row in _KEYS.all(session, tenant=tenant)] == ["one", "two", "three"]
        assert _keys(db, tenant) == []
    assert _keys(db, tenant) == ["one", "two", "three"]


def test_a_session_that_is_whole_for_a_look_alone_commits_prepared_statements(db: Database) -> None:
    tenant = _tenant(db)
    with db.write(tenant) as session:
        assert session.autoflush
        _put(session, tenant, "one")
    assert _keys(db, tenant) == ["one"]


@pytest.mark.parametrize("whole", [False, True])
def test_an_error_takes_everything_back(db: Database, *, whole: bool) -> None:
    tenant = _tenant(db)
    with pytest.raises(RuntimeError, match="no"):
        _fail(db, tenant, whole=whole)
    assert _keys(db, tenant) == []
    pool: Any = db.engine.pool
    assert pool.checkedout() == 0


def test_nothing_runs_after_a_rollback_in_it(db: Database) -> None:
    tenant = _tenant(db)
    with db.write(tenant) as session:
        _put(session, tenant, "one")
        session.rollback()
        with pytest.raises(InvalidRequestError):
            _put(session, tenant, "two")
    assert _keys(db, tenant) == []


def test_an_error_of_the_database_takes_everything_back(db: Database) -> None:
    tenant = _tenant(db)
    for whole in (False, True):
        with pytest.raises(DBAPIError):
            _refused(db, tenant, whole=whole)
    assert _keys(db, tenant) == []
    pool: Any = db.engine.pool
    assert pool.checkedout() == 0


def test_a_commit_that_the_database_refuses_is_an_error_and_nothing_holds(postgres_db: Database) -> None:
    tenant = _tenant(postgres_db)
    with postgres_db.write() as session:
        session.execute(text('ALTER TABLE "group" ADD CONSTRAINT once UNIQUE (origin) DEFERRABLE INITIALLY DEFERRED'))
    with pytest.raises(DBAPIError, match="once"):
        _put_two(postgres_db, tenant)
    assert _keys(postgres_db, tenant) == []


def test_the_wall_stands_for_both_kinds(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenancy, "excused", lambda: False)
    tenant = _tenant(db)
    everyones = Prepared(select(Group.key))
    with db.write(tenant) as session:
        with pytest.raises(TenantMissingError):
            everyones.all(session)
        with pytest.raises(TenantMissingError):
            session.scalars(select(Group.key)).all()


def test_an_epoch_raised_before_it_became_whole_is_raised_once(db: Database) -> None:
    tenant = _tenant(db)
    with db.write(tenant) as session:
        before = current(session, tenant)
        assert not bumped(session, tenant)
        assert bump(session, tenant) == before + 1
        assert innermost(session) is None
        with session.begin_nested() as trial:
            assert bumped(session, tenant)
            assert bump(session, tenant) == before + 1
            trial.rollback()
        assert bumped(session, tenant)
    with db.read() as session:
        assert current(session, tenant) == before + 1


def _fail(db: Database, tenant: int, *, whole: bool) -> None:
    with db.write(tenant) as session:
        _put(session, tenant, "one")
        if whole:
            session.add(Group(tenant_id=tenant, key="two", origin="admin", epoch_from=1))
            session.flush()
        raise RuntimeError("no")


def _refused(db: Database, tenant: int, *, whole: bool) -> None:
    with db.write(tenant) as session:
        _put(session, tenant, "one")
        if whole:
            session.execute(text("SELECT nothing FROM nowhere"))
        _put(session, tenant, None)


def _put_two(db: Database, tenant: int) -> None:
    with db.write(tenant) as session:
        _put(session, tenant, "one")
        _put(session, tenant, "two")
