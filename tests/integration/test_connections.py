"""A pooled connection that the server has ended is found out before it is used, once it has rested."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core import db as core_db
from core.db import Database, now

_END_OTHERS = text(
    "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def _ended_by_the_server(database: Database) -> None:
    """Every connection that rests in the pool is cut."""
    other = Database(database.url.render_as_string(hide_password=False))
    with database.read() as session, other.read() as cutting:
        now(session)
        now(cutting)
    with other.write() as session:
        session.execute(text("SET LOCAL ROLE NONE"))  # the tests' own role may not cut what a superuser opened
        assert session.execute(_END_OTHERS).scalar_one()
    other.close()


@pytest.mark.integration
def test_a_rested_connection_is_tried_first(postgres_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    _ended_by_the_server(postgres_db)
    monkeypatch.setattr(core_db, "_TRUSTED_S", 0.0)
    with postgres_db.read() as session:
        assert now(session)


@pytest.mark.integration
def test_one_that_was_just_used_fails_once_and_is_replaced(
    postgres_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_db, "_TRUSTED_S", 3600.0)
    _ended_by_the_server(postgres_db)
    with pytest.raises(DBAPIError), postgres_db.read() as session:
        now(session)
    with postgres_db.read() as session:
        assert now(session)


@pytest.mark.integration
def test_short_statements_are_not_compiled_by_the_server(postgres_db: Database) -> None:
    with postgres_db.read() as session:
        assert session.execute(text("SHOW jit")).scalar_one() == "off"
