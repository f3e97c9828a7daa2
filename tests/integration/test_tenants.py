"""Tenants kept apart: by every statement of a session that is opened for one, and by PostgreSQL below it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import aliased

from api.runtime import Runtime
from cli.checks import _tenant_wall
from core import row_security, tenancy
from core.db import Database
from core.settings import Settings
from core.tables import Ace, AclNode, Base, Chunk, Document, Group, Item, Principal, Source, VersionChunk
from migrations.runner import upgrade
from policies.directory import put_group, put_tenant, put_user, set_containers
from tests.integration.services import POSTGRESQL, administer, need

ROOT = Path(__file__).parents[2]
OVER_ALL = {
    ("api/identity.py", "_checked"): "a key tells its tenant",
    ("api/routes/health.py", "_sql"): "asks for no row",
    ("api/runtime.py", "prepare"): "makes the tenant",
    ("retrieve/recording.py", "_written"): "queries that end together share a commit",
}


@pytest.fixture
def two(db: Database) -> tuple[int, int]:
    """Two tenants, each with a user and a group of the same ids."""
    made = []
    with db.write() as session:
        for key in ("one", "two"):
            tenant = put_tenant(session, key).id
            put_user(session, tenant, "ana")
            put_group(session, tenant, "staff")
            set_containers(session, tenant, "user:ana", ["staff"])
            made.append(tenant)
    return made[0], made[1]


BOUND = {
    "a tenant": select(Document).where(Document.tenant_id == 1, Document.public_id == "doc_x"),
    "a row by its internal id": select(Document).where(Document.id == 7),
    "rows by internal ids": select(Chunk.text).where(Chunk.id.in_([1, 2])),
    "rows of a row": update(Item).where(Item.run_id == 1).values(state="done"),
    "a join to bound rows": select(Ace.id).join(Principal, Principal.id == Ace.principal_id).where(Ace.tenant_id == 1),
    "a chain of joins": select(Document.id)
    .join(VersionChunk, VersionChunk.version_id == Document.version_id)
    .where(VersionChunk.chunk_id == 3),
    "a subquery that is bound": select(Principal).where(
        Principal.id.in_(select(Ace.principal_id).where(Ace.tenant_id == 1))
    ),
    "a correlated subquery": select(Source).where(
        Source.tenant_id == 1, select(Document.id).where(Document.source_id == Source.id).exists()
    ),
    "a correlated subquery beside a join": select(
        Principal.id, select(Ace.id).where(Ace.principal_id == Principal.id).exists()
    )
    .outerjoin(Group, Group.id == Principal.subject_id)
    .where(Principal.tenant_id == 1),
    "every arm of an or": select(Item).where((Item.tenant_id == 1) | (Item.run_id == 2)),
}
LOOSE = {
    "a public id alone": select(Document).where(Document.public_id == "doc_x"),
    "a key alone": select(Source).where(Source.key == "files"),
    "nothing": select(func.count()).select_from(Document),
    "one arm of an or": select(Item).where((Item.tenant_id == 1) | (Item.state == "done")),
    "another name of the table": select(aliased(Item).id).where(Item.tenant_id == 1),
    "a join of what is loose": select(Ace.id).join(Principal, Principal.id == Ace.principal_id),
    "a join without a reference": select(Ace.id).join(Source, Source.key == Ace.origin).where(Source.tenant_id == 1),
    "a subquery that is loose": select(Principal.id).where(
        Principal.id.in_(select(Ace.principal_id).where(Ace.effect == "deny"))
    ),
    "a change of all rows": update(AclNode).values(closed=False),
    "all but one tenant": select(Document).where(Document.tenant_id != 1),
}


@pytest.mark.parametrize("name", BOUND)
def test_a_statement_that_says_whose_rows_is_let_through(name: str) -> None:
    assert list(tenancy.unbound(BOUND[name])) == []


@pytest.mark.parametrize("name", LOOSE)
def test_a_statement_that_does_not_is_found(name: str) -> None:
    assert list(tenancy.unbound(LOOSE[name]))


def test_a_session_of_a_tenant_refuses_it_each_time(
    db: Database, two: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenancy, "excused", lambda: False)
    for _ in range(2):
        with db.read(two[0]) as session, pytest.raises(tenancy.TenantMissingError, match="source names no tenant"):
            session.execute(select(Source.id).where(Source.key == "files"))
        with db.read(two[0]) as session, pytest.raises(tenancy.TenantMissingError):
            session.connection().exec_driver_sql("SELECT id FROM source")
    with db.write(two[0]) as session, pytest.raises(tenancy.TenantMissingError):
        session.execute(update(Source).values(state="paused"))
    with db.read(two[0]) as session:
        assert session.scalars(select(Source.id).where(Source.tenant_id == two[0])).all() == []
    with db.read() as session:
        assert session.execute(select(Source.id).where(Source.key == "files")).all() == []


def test_a_session_over_all_tenants_can_be_narrowed_to_one_for_its_rest(
    db: Database, two: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenancy, "excused", lambda: False)
    users = select(func.count()).select_from(Base.metadata.tables["user"])
    with db.read() as session:
        assert session.execute(users).scalar_one() == 2
        session.narrow(two[0])
        with pytest.raises(tenancy.TenantMissingError):
            session.execute(users)
        if not db.is_sqlite:  # the second wall, which no statement passes
            told = session.connection().connection.cursor().execute('SELECT tenant_id FROM "user"').fetchall()
            assert told == [(two[0],)]
    with db.read() as session:
        assert session.execute(users).scalar_one() == 2


def test_edges_open_sessions_for_a_tenant() -> None:
    """Where people's requests come in, a session over all tenants is a named exception."""
    found = set()
    for folder in ("api", "answer", "retrieve", "gateway"):
        for path in (ROOT / folder).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            found |= {(name, function) for function in _opened_for_all(ast.parse(path.read_text()))}
    assert found == OVER_ALL.keys()


def _opened_for_all(tree: ast.Module) -> Iterator[str]:
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for call in ast.walk(function):
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Attribute)
                    and call.func.attr in {"read", "write"}
                    and ast.unparse(call.func.value).rpartition(".")[2] in {"db", "_db"}
                    and not call.args
                ):
                    yield function.name


@pytest.fixture
def walled(postgres_db: Database) -> Database:
    """Two tenants' rows in PostgreSQL, used as the runtime's role, which is no superuser."""
    with postgres_db.read() as session:
        told = session.execute(text("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")).one()
    assert tuple(told) == (False, False)
    return postgres_db


@pytest.mark.integration
class TestRowSecurity:
    """What PostgreSQL shows, whatever is asked."""

    def test_every_tenants_table_is_behind_the_wall(self, walled: Database) -> None:
        query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relrowsecurity AND relforcerowsecurity"
        with walled.read() as session:
            held = set(session.scalars(text(query)))
            policies = set(session.scalars(text("SELECT tablename FROM pg_policies")))
        assert held == policies == row_security.rules(Base.metadata).keys()
        assert held >= {name for name, table in Base.metadata.tables.items() if "tenant_id" in table.c}

    def test_rows_of_another_tenant_are_not_there(self, walled: Database, two_on: tuple[int, int]) -> None:
        for table in ("principal", "group", "policy_epoch", "epoch_time"):
            with walled.read(two_on[0]) as session:
                driver = session.connection().connection.cursor()
                driver.execute(f'SELECT tenant_id FROM "{table}"')
                assert {row[0] for row in driver.fetchall()} == {two_on[0]}, table
        with walled.read(two_on[0]) as session:
            driver = session.connection().connection.cursor()
            driver.execute("SELECT id FROM tenant")
            assert driver.fetchall() == [(two_on[0],)]

    def test_rows_of_another_tenant_are_not_changed_or_made(self, walled: Database, two_on: tuple[int, int]) -> None:
        with walled.write(two_on[0]) as session:
            driver = session.connection().connection.cursor()
            driver.execute('UPDATE "user" SET active = false WHERE tenant_id = %s', (two_on[1],))
            assert driver.rowcount == 0
            driver.execute('DELETE FROM "group" WHERE tenant_id = %s', (two_on[1],))
            assert driver.rowcount == 0
        with pytest.raises(ProgrammingError, match="row-level security"), walled.write(two_on[0]) as session:
            session.add(Group(tenant_id=two_on[1], key="theirs", epoch_from=1))

    def test_whoever_says_nothing_sees_nothing(self, walled: Database, two_on: tuple[int, int]) -> None:
        with walled.engine.connect() as connection:
            for said in ("", "SET LOCAL ambit.tenant = ''", f"SET LOCAL ambit.tenant = '{two_on[1] + 1}'"):
                if said:
                    connection.exec_driver_sql(said)
                assert connection.exec_driver_sql("SELECT count(*) FROM principal").scalar_one() == 0

    def test_a_pooled_connection_carries_nothing_over(self, postgres_url: str, two_on: tuple[int, int]) -> None:
        database = Database(postgres_url)
        database.engine.dispose()
        try:
            with database.read(two_on[0]) as session:
                process = session.scalar(text("SELECT pg_backend_pid()"))
            with database.engine.connect() as connection:
                assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() == process
                assert connection.exec_driver_sql("SELECT count(*) FROM principal").scalar_one() == 0
                assert not connection.exec_driver_sql("SELECT current_setting('ambit.tenant', true)").scalar_one()
            with database.read(two_on[1]) as session:
                assert session.scalar(text("SELECT pg_backend_pid()")) == process
                driver = session.connection().connection.cursor()
                driver.execute("SELECT DISTINCT tenant_id FROM principal")
                assert driver.fetchall() == [(two_on[1],)]
        finally:
            database.close()

    def test_work_over_all_tenants_sees_all(self, walled: Database, two_on: tuple[int, int]) -> None:
        with walled.read() as session:
            assert set(session.scalars(select(Principal.tenant_id))) >= set(two_on)

    def test_sessions_are_snapshots_and_writers_as_before(self, walled: Database, two_on: tuple[int, int]) -> None:
        asked = "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
        for tenant in (None, two_on[0]):
            with walled.read(tenant) as session:
                assert tuple(session.execute(text(asked)).one()) == ("repeatable read", "on")
            with walled.write(tenant) as session:
                assert tuple(session.execute(text(asked)).one()) == ("read committed", "off")


@pytest.fixture
def two_on(walled: Database) -> tuple[int, int]:
    """Two tenants in PostgreSQL."""
    with walled.write() as session:
        made = put_tenant(session, "one").id, put_tenant(session, "two").id
        for tenant in made:
            put_group(session, tenant, "staff")
        return made


@pytest.mark.integration
def test_the_role_that_the_guide_makes_is_walled(tmp_path: Path) -> None:
    """By the very statements of docs/access.md, under a name of the test's own."""
    (written,) = re.findall(r"`(CREATE ROLE [^`]+)`", (ROOT / "docs" / "access.md").read_text())
    name = f"ambit_guide_{uuid4().hex[:12]}"
    statements = re.sub(r"\bambit\b", name, written).rstrip(";").split("; ")
    url = make_url(need(POSTGRESQL))
    try:
        for statement in statements:
            administer(statement)
        own = url.set(username=name, password="...", database=name).render_as_string(hide_password=False)
        upgrade(own)
        runtime = Runtime(Settings(_env_file=None, data_dir=tmp_path, database_url=own))
        assert _tenant_wall(runtime).detail == "kept apart by row-level security too"
        runtime.close()
    finally:
        administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        administer(f"DROP ROLE IF EXISTS {name}")


@pytest.mark.integration
@pytest.mark.parametrize("role", ["superuser", "runtime"])
def test_only_a_role_that_the_wall_holds_for_is_walled(postgres_url: str, role: str) -> None:
    url = make_url(postgres_url)
    if role == "superuser":
        url = url.difference_update_query(["options"])
    database = Database(url.render_as_string(hide_password=False))
    try:
        assert row_security.holds(database.engine) is (role == "runtime")
    finally:
        database.close()
