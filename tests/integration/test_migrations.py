"""The migrations make exactly the tables that the code speaks of, on both databases, however they are started."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from core.db import Database
from core.tables import Base
from migrations.__main__ import main
from migrations.runner import SchemaError, current, head, scripts, upgrade
from tests.integration.services import postgres_database

_SCHEMA = text(
    "SELECT name, sql FROM sqlite_master "
    "WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE 'alembic_%' AND sql IS NOT NULL ORDER BY name"
)


def _words(sql: str) -> list[str]:
    """The clauses of a statement, apart from their order: constraints may stand in another, and a column that was added
    stands on the line of the last.
    """
    return sorted(part.strip(" ()\n\t,") for part in re.split(r"\n|, (?=[a-z_]+ [A-Z])", sql.replace("\t", "")))


def _sqlite_schema(database: Database) -> dict[str, list[str]]:
    with database.engine.connect() as connection:
        return {name: _words(sql) for name, sql in connection.execute(_SCHEMA)}


def test_migrations_and_tables_agree(db: Database) -> None:
    with db.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": not db.is_sqlite}  # SQLite reflects no identity
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_the_last_migration_is_found_by_its_file_as_by_alembic() -> None:
    assert head() == scripts().get_current_head()


def test_sqlite_statements_are_those_of_the_tables(sqlite_db: Database, tmp_path: Path) -> None:
    plain = Database(f"sqlite:///{tmp_path}/plain.db")
    Base.metadata.create_all(plain.engine)
    try:
        assert _sqlite_schema(sqlite_db) == _sqlite_schema(plain)
    finally:
        plain.close()


def test_partial_indexes_are_those_of_the_tables(db: Database) -> None:
    wanted = {
        str(index.name)
        for table in Base.metadata.tables.values()
        for index in table.indexes
        if index.dialect_options[db.engine.dialect.name]["where"] is not None
    }
    with db.engine.connect() as connection:
        inspector = inspect(connection)
        found = {
            str(index["name"])
            for table in Base.metadata.tables
            for index in inspector.get_indexes(table)
            if index.get("dialect_options", {}).get(f"{db.engine.dialect.name}_where") is not None
        }
    assert found == wanted
    assert wanted


def test_upgrade_twice_changes_nothing(db: Database) -> None:
    url = db.url.render_as_string(hide_password=False)
    assert current(url) == head()
    upgrade(url)
    assert current(url) == head()


def test_a_newer_schema_is_refused(db: Database) -> None:
    with db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="9999"):
        upgrade(db.url.render_as_string(hide_password=False))


def test_an_upgrade_that_would_break_references_is_undone(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    driver.execute("INSERT INTO policy_epoch (tenant_id, epoch) VALUES (7, 1)")
    driver.execute("UPDATE alembic_version SET version_num = '0000'")
    driver.commit()
    monkeypatch.setattr("migrations.runner._check_known", lambda _: None)
    monkeypatch.setattr("alembic.command.upgrade", _stamp)
    with pytest.raises(SchemaError, match="policy_epoch"):
        upgrade(sqlite_url)
    assert driver.execute("SELECT version_num FROM alembic_version").fetchone() == ("0000",)
    driver.close()


def _stamp(config: Config, revision: str) -> None:
    config.attributes["connection"].execute(text("UPDATE alembic_version SET version_num = '0001'"))


def test_a_busy_database_at_the_right_schema_is_not_waited_for(sqlite_db: Database) -> None:
    with sqlite_db.write():
        upgrade(sqlite_db.url.render_as_string())


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--check"], 0), (["--what"], 2)])
def test_the_command_says_where_the_schema_stands(
    arguments: list[str],
    status: int,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AMBIT_DATABASE_URL", sqlite_url)
    assert main(arguments) == status
    assert status or capsys.readouterr().out == f"schema {head()}, needed {head()}\n"


def test_the_check_sees_an_absent_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMBIT_DATABASE_URL", f"sqlite:///{tmp_path}/absent.db")
    assert main(["--check"]) == 1


def test_looking_at_an_absent_file_makes_none(tmp_path: Path) -> None:
    assert current(f"sqlite:///{tmp_path}/absent.db") is None
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/new/ambit.db")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def _upgrade_at_once(url: str, processes: int = 4) -> None:
    code = "import sys; from migrations.runner import upgrade; upgrade(sys.argv[1])"
    started = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE) for _ in range(processes)]
    ends = [(process.communicate()[1], process.returncode) for process in started]
    assert [code for _, code in ends] == [0] * processes, [error.decode() for error, _ in ends]
    assert current(url) == head()


def test_processes_that_start_at_once_share_sqlite(tmp_path: Path) -> None:
    _upgrade_at_once(f"sqlite:///{tmp_path}/ambit.db")


@pytest.mark.integration
def test_processes_that_start_at_once_share_postgresql() -> None:
    with postgres_database() as url:
        _upgrade_at_once(url)
