"""Prepared statements read what the same statement reads through SQLAlchemy, in the session's own transaction."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import bindparam, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from core.db import Database, now
from core.prepared import Prepared, among
from core.tables import ApiKey, App, Tenant
from core.tenancy import TenantMissingError
from policies.directory import put_app, put_tenant

_APPS = (
    select(App.id, App.key, App.active, App.acts_for, App.sources, Tenant.key.label("tenant"))
    .join(Tenant, Tenant.id == App.tenant_id)
    .where(App.tenant_id == bindparam("tenant"), among(App.id, "apps"))
    .order_by(App.id)
)


def _filled(db: Database) -> tuple[int, list[int]]:
    with db.write() as session:
        tenant = put_tenant(session, "default").id
        made = [put_app(session, tenant, f"app-{number}", acts_for=["everyone"]) for number in range(4)]
        session.flush()
        return tenant, [one.id for one in made]


@pytest.mark.parametrize("wanted", [[], [0], [0, 2], [0, 1, 2, 3]])
def test_rows_equal_those_of_sqlalchemy(db: Database, wanted: list[int]) -> None:
    tenant, ids = _filled(db)
    values = {"tenant": tenant, "apps": [ids[place] for place in wanted]}
    with db.read() as session:
        plain = [tuple(row) for row in session.execute(_APPS, values)]
        assert [tuple(row) for row in Prepared(_APPS).all(session, **values)] == plain
        assert len(plain) == len(wanted)


def test_rows_are_named_and_values_are_pythons(db: Database) -> None:
    tenant, ids = _filled(db)
    with db.read() as session:
        row = Prepared(_APPS).first(session, tenant=tenant, apps=ids)
    assert (row.key, row.active, row.acts_for, row.tenant) == ("app-0", True, ["everyone"], "default")


def test_instants_keep_their_zone(db: Database) -> None:
    _filled(db)
    statement = select(Tenant.id, bindparam("at", type_=ApiKey.__table__.c.expires_at.type).label("at"))
    with db.read() as session:
        at = now(session)
        assert Prepared(statement).first(session, at=at).at == at


def test_it_reads_what_its_own_transaction_wrote(db: Database) -> None:
    tenant, ids = _filled(db)
    prepared = Prepared(_APPS)
    with db.write() as session:
        session.execute(text("UPDATE app SET key = 'other' WHERE id = :id"), {"id": ids[0]})
        assert next(row.key for row in prepared.all(session, tenant=tenant, apps=ids)) == "other"
        with db.read() as outside:
            assert next(row.key for row in prepared.all(outside, tenant=tenant, apps=ids)) == "app-0"


def test_nothing_found_is_none(db: Database) -> None:
    with db.read() as session:
        assert Prepared(_APPS).first(session, tenant=77, apps=[1]) is None


def test_a_failure_is_sqlalchemys_and_tells_no_values(db: Database) -> None:
    broken = Prepared(select(App.id, text("no_such_column AS missing")).where(App.key == bindparam("key")))
    with db.read() as session, pytest.raises(SQLAlchemyError) as failed:
        broken.all(session, key="a-secret")
    assert isinstance(failed.value, DBAPIError)
    assert "a-secret" not in str(failed.value)


@pytest.mark.parametrize("wanted", [[], ["app-1"], ["app-3", "app-0"]])
def test_a_fixed_list_is_part_of_the_statement(db: Database, wanted: list[str]) -> None:
    _filled(db)
    listed = Prepared(select(App.key).where(App.key.in_(wanted)).order_by(App.key))
    with db.read() as session:
        assert [row.key for row in listed.all(session)] == sorted(wanted)


def test_threads_that_come_together_look_at_a_statement_once(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, ids = _filled(sqlite_db)
    looked, together = [], threading.Barrier(8)

    def check(statement: object) -> None:
        time.sleep(0.05)
        looked.append(statement)

    monkeypatch.setattr("core.prepared.tenancy.check", check)
    prepared = Prepared(_APPS)

    def ask(_: int) -> int:
        with sqlite_db.read(tenant) as session:
            together.wait()
            return len(prepared.all(session, tenant=tenant, apps=ids))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [4] * 8
    assert len(looked) == 1


def test_a_statement_that_is_refused_is_refused_each_time(sqlite_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.tenancy.excused", lambda: False)
    loose = Prepared(select(App.id))
    for _ in range(2):
        with sqlite_db.read(1) as session, pytest.raises(TenantMissingError):
            loose.all(session)
