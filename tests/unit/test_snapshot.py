"""A snapshot is one transaction, whether a statement goes to the driver alone or through a whole session."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from core import tenancy
from core.db import Database
from core.prepared import Prepared
from core.snapshot import Snapshot
from core.tables import App
from core.tenancy import TenantMissingError
from policies.directory import put_app, put_tenant

_NAMES = Prepared(select(App.key).where(App.tenant_id == bindparam("tenant")).order_by(App.id))
_ALL = Prepared(select(App.key).order_by(App.id))


def _filled(db: Database) -> int:
    with db.write() as session:
        tenant = put_tenant(session, "default").id
        put_app(session, tenant, "one", acts_for=["everyone"])
        return tenant


def _keys(session: Snapshot, tenant: int) -> tuple[list[str], list[str]]:
    plain = session.scalars(select(App.key).where(App.tenant_id == tenant).order_by(App.id))
    return [row.key for row in _NAMES.all(session, tenant=tenant)], list(plain)


def test_both_kinds_of_statement_see_the_same_moment(db: Database) -> None:
    tenant = _filled(db)
    with db.read(tenant) as session:
        assert [row.key for row in _NAMES.all(session, tenant=tenant)] == ["one"]
        with db.write() as writing:
            put_app(writing, tenant, "two", acts_for=["everyone"])
        assert _keys(session, tenant) == (["one"], ["one"])
    with db.read(tenant) as session:
        assert _keys(session, tenant) == (["one", "two"], ["one", "two"])


def test_nothing_that_is_changed_in_it_is_kept(db: Database) -> None:
    tenant = _filled(db)
    try:
        with db.read() as session:
            session.execute(update(App).where(App.tenant_id == tenant).values(key="changed"))
    except DBAPIError:
        assert not db.is_sqlite  # a server refuses it
    with db.read() as session:
        assert _keys(session, tenant) == (["one"], ["one"])


@pytest.mark.parametrize("narrowed_later", [False, True])
def test_the_wall_stands_for_both_kinds(db: Database, monkeypatch: pytest.MonkeyPatch, *, narrowed_later: bool) -> None:
    monkeypatch.setattr(tenancy, "excused", lambda: False)
    tenant = _filled(db)
    everyones = Prepared(_ALL.statement)
    with db.read(None if narrowed_later else tenant) as session:
        if narrowed_later:
            assert [row.key for row in everyones.all(session)] == ["one"]
            session.narrow(tenant)
        with pytest.raises(TenantMissingError):
            everyones.all(session)
        with pytest.raises(TenantMissingError):
            session.scalars(select(App.key)).all()


def test_a_whole_session_narrowed_later_is_behind_the_wall(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenancy, "excused", lambda: False)
    tenant = _filled(db)
    with db.read() as session:
        assert session.scalars(select(App.key)).all() == ["one"]
        session.narrow(tenant)
        with pytest.raises(TenantMissingError):
            session.scalars(select(App.key).limit(7)).all()


def test_connections_come_back_whatever_happens(db: Database) -> None:
    tenant = _filled(db)
    for _ in range(100):
        with pytest.raises(RuntimeError):
            _fail(db, tenant)
        with pytest.raises(SQLAlchemyError), db.read() as session:
            session.execute(text("SELECT nothing FROM nowhere"))
    pool: Any = db.engine.pool
    assert pool.checkedout() == 0


def test_there_is_no_more_of_it_than_of_a_session(sqlite_db: Database) -> None:
    with sqlite_db.read() as session:
        with pytest.raises(AttributeError):
            _ = session.nothing_of_the_kind
        with pytest.raises(AttributeError):
            _ = session.nothing_of_the_kind


def test_the_server_keeps_what_was_prepared(postgres_db: Database) -> None:
    tenant = _filled(postgres_db)
    for _ in range(8):
        with postgres_db.read(tenant) as session:
            _NAMES.all(session, tenant=tenant)
    with postgres_db.read() as session:
        found = session.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()
    assert found >= 1


def test_a_lost_connection_is_an_error_and_then_replaced(postgres_db: Database) -> None:
    tenant = _filled(postgres_db)
    with pytest.raises(SQLAlchemyError):
        _lose(postgres_db, tenant)
    with postgres_db.read(tenant) as session:
        assert _keys(session, tenant) == (["one"], ["one"])


def _fail(db: Database, tenant: int) -> None:
    with db.read(tenant) as session:
        _keys(session, tenant)
        raise RuntimeError


def _lose(db: Database, tenant: int) -> None:
    with db.read(tenant) as session:
        lost = session.link.driver_connection
        assert lost is not None
        lost.close()
        _NAMES.all(session, tenant=tenant)
