"""The services that integration tests use: where they are, how to start them, and a place of a test's own in each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import NoReturn
from uuid import uuid4

import pytest
from sqlalchemy.engine import make_url

REQUIRED = os.environ.get("AMBIT_TEST_REQUIRE_SERVICES") == "1"
"""Whether a missing service fails a test; else it skips it."""

_ROLE = "ambit_test_runtime"
_MAKE_ROLE = (
    f"DO $$ BEGIN CREATE ROLE {_ROLE} NOSUPERUSER NOBYPASSRLS; "
    "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
)
_REDIS_CLAIM = "ambit-test-claim"


@dataclass(frozen=True)
class Service:
    """One service: `setting` is the environment variable that names another place for it than `default`."""

    name: str
    setting: str
    default: str
    start: str

    @property
    def url(self) -> str:
        """Where the tests look for it."""
        return os.environ.get(self.setting, self.default)

    def missing(self) -> str | None:
        """None when something answers at the port, else what to do."""
        target = make_url(self.url)
        try:
            socket.create_connection((target.host or "127.0.0.1", target.port or 0), timeout=2).close()
        except OSError:
            where = f"{target.host}:{target.port}"
            return f"{self.name} does not answer at {where}; start it: {self.start} (or set {self.setting})"
        return None


POSTGRESQL = Service(
    "PostgreSQL",
    "AMBIT_TEST_POSTGRES_URL",
    "postgresql+psycopg://postgres@127.0.0.1:5432/test",
    "apt-get install postgresql, then pg_ctlcluster --skip-systemctl-redirect $(ls /etc/postgresql) main start",
)
RABBITMQ = Service(
    "RabbitMQ",
    "AMBIT_TEST_RABBITMQ_URL",
    "amqp://guest:guest@127.0.0.1:5672//",
    "apt-get install rabbitmq-server, then rabbitmq-server -detached",
)
REDIS = Service(
    "Redis",
    "AMBIT_TEST_REDIS_URL",
    "redis://127.0.0.1:6379/0",
    'apt-get install redis-server, then redis-server --daemonize yes --bind 127.0.0.1 --save "" --appendonly no',
)
SERVICES = (POSTGRESQL, RABBITMQ, REDIS)


@cache
def _missing(service: Service) -> str | None:
    return service.missing()


def need(service: Service) -> str:
    """The service's URL; skips the test where it is missing, or fails it when services are required."""
    reason = _missing(service)
    if reason is not None:
        _give_up(reason)
    return service.url


def _give_up(reason: str) -> NoReturn:
    if REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


_DROPPING = ThreadPoolExecutor(1)
"""PostgreSQL writes everything to disk before it drops a database, which no test waits for; the process does."""


@contextmanager
def postgres_database(template: str | None = None) -> Iterator[str]:
    """A new database of its own, dropped at the end, as an SQLAlchemy URL; `template` names one to copy.

    It is used, and its tables are owned, by a role that row-level security holds for, as an installation's should be.
    Commits do not wait for the disk: no test stops this server, and what one commits others see all the same.
    """
    url = make_url(need(POSTGRESQL))
    name = f"ambit_test_{uuid4().hex[:12]}"
    administer(_MAKE_ROLE)
    administer(f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}" OWNER {_ROLE}')
    try:
        own = url.set(database=name).update_query_dict({"options": f"-c role={_ROLE} -c synchronous_commit=off"})
        yield own.render_as_string(hide_password=False)
    finally:
        administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def administer(statement: str) -> None:
    """Runs one statement that PostgreSQL refuses inside a transaction."""
    import psycopg

    plain = make_url(POSTGRESQL.url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = psycopg.connect(plain, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        _give_up(f"PostgreSQL does not let the tests in ({error}); set {POSTGRESQL.setting}, or see .ci/run")
    with connection:
        connection.execute(statement)


@contextmanager
def rabbitmq_vhost() -> Iterator[str]:
    """A virtual host of its own, as a URL; where this machine may not make one, the one that is configured."""
    url = need(RABBITMQ)
    name = f"ambit-test-{uuid4().hex[:12]}"
    if not _rabbitmqctl("add_vhost", name):
        yield url
        return
    try:
        user = make_url(url).username or "guest"
        if not _rabbitmqctl("set_permissions", "-p", name, user, ".*", ".*", ".*"):
            pytest.fail(f"RabbitMQ did not let {user} into the virtual host {name}", pytrace=False)
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        _rabbitmqctl("delete_vhost", name)


def _rabbitmqctl(*arguments: str) -> bool:
    program = shutil.which("rabbitmqctl")
    if program is None or RABBITMQ.setting in os.environ:
        return False
    return subprocess.run([program, "-q", *arguments], capture_output=True, check=False).returncode == 0


@contextmanager
def redis_database() -> Iterator[str]:
    """An empty numbered database claimed for this test, as a URL; emptied again at the end."""
    import redis

    base = need(REDIS)
    for number in range(15, 0, -1):
        url = make_url(base).set(database=str(number)).render_as_string(hide_password=False)
        with redis.Redis.from_url(url) as client:
            if client.dbsize() or not client.set(_REDIS_CLAIM, "1", nx=True, ex=3600):
                continue
            try:
                yield url
            finally:
                client.flushdb()
            return
    pytest.fail(f"Redis at {make_url(base).host} has no empty database between 1 and 15 for the tests", pytrace=False)
