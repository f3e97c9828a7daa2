"""Databases and brokers for the tests: each test gets its own, migrated and empty."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from sqlalchemy.engine import make_url

from core import tenancy
from core.db import Database
from migrations.runner import upgrade
from tests.integration.services import postgres_database, rabbitmq_vhost, redis_database

ROOT = Path(__file__).parents[1]
_MEMORY, _ROOM = Path("/dev/shm"), 8 << 30

if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM:
    # Every commit of SQLite waits for the disk; where files are in memory that takes no time.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.fixture(scope="session", autouse=True)
def encoder_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all tests keep exported encoders, so that each is exported once a session at most."""
    folder = tmp_path_factory.mktemp("encoders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMBIT_ENCODER_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def tests_may_look_at_everything() -> Iterator[None]:
    """A statement that a test itself makes may count the rows of all tenants; one of Ambit's own may not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tenancy, "excused", _asked_by_a_test)
        yield


def _asked_by_a_test() -> bool:
    """Whether the nearest caller that is no library is a test."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if (
            path.is_relative_to(ROOT)
            and path.name not in {"tenancy.py", "db.py", "prepared.py"}
            and path != Path(__file__)
        ):
            return path.is_relative_to(ROOT / "tests")
        frame = frame.f_back
    return False


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: the migrations run once a session."""
    path = tmp_path_factory.mktemp("template") / "ambit.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[str]:
    """The name of a migrated PostgreSQL database to copy."""
    with postgres_database() as url:
        upgrade(url)
        yield make_url(url).database or ""


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """URL of a migrated SQLite file of this test's own."""
    path = tmp_path / "ambit.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_template: str) -> Iterator[str]:
    """URL of a migrated PostgreSQL database of this test's own."""
    with postgres_database(postgres_template) as url:
        yield url


@pytest.fixture
def sqlite_db(sqlite_url: str) -> Iterator[Database]:
    """A migrated SQLite file of this test's own."""
    yield from _opened(sqlite_url)


@pytest.fixture
def postgres_db(postgres_url: str) -> Iterator[Database]:
    """A migrated PostgreSQL database of this test's own."""
    yield from _opened(postgres_url)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def db(request: pytest.FixtureRequest) -> Database:
    """The test runs on SQLite and on PostgreSQL."""
    name = "sqlite_db" if request.param == "sqlite" else "postgres_db"
    database: Database = request.getfixturevalue(name)
    return database


@pytest.fixture
def rabbitmq_url() -> Iterator[str]:
    """A RabbitMQ virtual host of this test's own."""
    with rabbitmq_vhost() as url:
        yield url


@pytest.fixture
def redis_url() -> Iterator[str]:
    """An empty Redis database claimed for this test."""
    with redis_database() as url:
        yield url


def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()
