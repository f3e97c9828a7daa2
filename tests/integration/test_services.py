"""Each test's place in a service is its own, and gone afterwards."""

from __future__ import annotations

from typing import Any

import kombu
import pytest
import redis
from sqlalchemy import text

from core.db import Database
from tests.integration import services
from tests.integration.services import Service, need, redis_database

NOWHERE = Service("Nothing", "AMBIT_TEST_NOWHERE_URL", "amqp://guest@127.0.0.1:1//", "do this")


def test_a_missing_service_skips_and_says_how_to_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "REQUIRED", False)
    with pytest.raises(pytest.skip.Exception, match=r"127\.0\.0\.1:1; start it: do this"):
        need(NOWHERE)


def test_a_missing_service_fails_where_services_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "REQUIRED", True)
    with pytest.raises(pytest.fail.Exception, match="do this"):
        need(NOWHERE)


@pytest.mark.integration
def test_a_rabbitmq_queue_can_be_used(rabbitmq_url: str) -> None:
    broker: Any = kombu
    with broker.Connection(rabbitmq_url) as connection, connection.SimpleQueue("ambit-test") as queue:
        assert queue.qsize() == 0
        queue.put({"n": 1})
        assert queue.get(timeout=10).payload == {"n": 1}


@pytest.mark.integration
def test_redis_databases_are_apart_and_emptied(redis_url: str) -> None:
    with redis_database() as other:
        assert other != redis_url
        with redis.Redis.from_url(other) as client:
            client.set("k", "v")
    with redis.Redis.from_url(redis_url) as mine, redis.Redis.from_url(other) as theirs:
        assert mine.get("k") is None
        assert theirs.get("k") is None


def test_databases_of_two_tests_are_apart(db: Database) -> None:
    """Runs on each database; the row of one run would stop the next, the key being unique."""
    with db.write() as session:
        assert session.execute(text("SELECT count(*) FROM tenant")).scalar_one() == 0
        session.execute(text("INSERT INTO tenant (key, classifications, created_at) VALUES ('t', '[]', 0)"))


@pytest.mark.parametrize("turn", [1, 2])
def test_a_database_is_empty_at_every_turn(db: Database, turn: int) -> None:
    test_databases_of_two_tests_are_apart(db)
