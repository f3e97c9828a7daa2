"""Brings a SQL database to the schema this code needs; safe when several processes start at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from core.db import Database
from core.errors import AmbitError
from core.row_security import begin

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

_VERSIONS = Path(__file__).parent / "versions"
_LOCK = 0x616D626974
"""Key of the PostgreSQL advisory lock: "ambit" in ASCII."""


class SchemaError(AmbitError):
    """The database's schema is not one this version of Ambit can work with."""

    code = "schema_unknown"
    status = 500
    title = "Database schema not known"


def upgrade(url: str) -> None:
    """Brings the database at `url` (SQLAlchemy form) to `head()`; does nothing where it is there already.

    All steps are one transaction under a lock: a second process waits, then finds the work done.

    Raises:
        SchemaError: the database was written by a newer version.
    """
    if current(url) == head():
        return
    from alembic import command  # a tenth of what a start loads, and seldom needed

    with exclusive(url) as connection:
        _check_known(_revision(connection))
        command.upgrade(alembic_config(connection), "head")
        _check_references(connection)


def current(url: str) -> str | None:
    """The revision the database stands at; None where it holds no schema of ours, or is no file yet."""
    database = Database(url)
    try:
        if _is_missing_file(database):
            return None
        with database.engine.connect() as connection:
            return _revision(connection)
    finally:
        database.close()


def head() -> str:
    """The revision this code needs: the last of its migrations, whose files begin with theirs."""
    revisions = [path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*.py")]
    if not revisions:
        raise SchemaError("This installation holds no migrations; install Ambit again")
    return max(revisions)


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, made in code so that an installed package needs no file beside it."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def scripts() -> ScriptDirectory:
    """The migrations this code holds."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(alembic_config())


def _revision(connection: Connection) -> str | None:
    """What Alembic notes in its table."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _check_known(revision: str | None) -> None:
    if revision is None:
        return
    from alembic.script.revision import RevisionError
    from alembic.util import CommandError

    try:
        scripts().get_revision(revision)
    except (CommandError, RevisionError) as error:
        raise SchemaError(
            f"The database is at revision {revision}, which this version of Ambit does not know; run a newer Ambit"
        ) from error


def _check_references(connection: Connection) -> None:
    """What SQLite would have refused had its foreign keys been on; raising undoes the upgrade."""
    if connection.dialect.name == "sqlite":
        broken = {row[0] for row in connection.execute(text("PRAGMA foreign_key_check"))}
        if broken:
            raise SchemaError(f"The upgrade would leave rows that refer to nothing, in: {', '.join(sorted(broken))}")


@contextmanager
def exclusive(url: str) -> Iterator[Connection]:
    """A transaction that no other process's `upgrade` of the same database runs beside."""
    database = Database(url)
    try:
        if database.is_sqlite:
            _make_folder(database)
        engine = database.engine.execution_options(ambit_write=True)
        with engine.connect() as connection:
            if database.is_sqlite:
                _suspend_foreign_keys(connection)
            with connection.begin():
                if not database.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                    begin(connection, None)
                yield connection
    finally:
        database.close()


def _suspend_foreign_keys(connection: Connection) -> None:
    """SQLite alters a table by building it anew and dropping the old one, which must not touch rows that refer to it.

    The pragma is ignored inside a transaction, so it goes to the driver before one begins.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA foreign_keys=OFF")


def _make_folder(database: Database) -> None:
    path = database.url.database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def _is_missing_file(database: Database) -> bool:
    """Opening a SQLite file creates it, which looking must not."""
    path = database.url.database
    return database.is_sqlite and bool(path) and path != ":memory:" and not Path(str(path)).exists()
