"""A broker that is killed and comes back empty, and messages that nobody understands: the work stands in SQL."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories.children import wait_for
from tests.factories.fleet import Fleet, ducks
from tests.factories.private_services import Private, PrivateRabbitMQ, PrivateRedis, provided

pytestmark = pytest.mark.integration
FILES = 40


@pytest.fixture(params=[PrivateRedis, pytest.param(PrivateRabbitMQ, marks=pytest.mark.full)])
def broker(request: pytest.FixtureRequest) -> Iterator[Private]:
    with provided(request.param) as server:
        yield server


@pytest.fixture
def fleet(tmp_path: Path, postgres_url: str, broker: Private) -> Iterator[Fleet]:
    with Fleet(tmp_path, database_url=postgres_url, broker_url=broker.url) as made:
        ducks(made, tmp_path / "files", FILES)
        yield made


def start_both(fleet: Fleet) -> None:
    fleet.start(["list", "parse"])
    fleet.start(["encode", "finish"], beat=True)


@pytest.mark.full
def test_a_broker_that_is_killed_and_comes_back_empty_loses_nothing(fleet: Fleet, broker: Private) -> None:
    start_both(fleet)
    run = fleet.start_sync()
    for least in (3, 20):
        wait_for(lambda least=least: fleet.done(run) > least)  # type: ignore[misc]
        broker.kill()
        time.sleep(0.5)
        broker.start()
    fleet.check(run, FILES)


@pytest.mark.full
def test_a_worker_that_was_busy_while_its_broker_was_away_hears_it_again(fleet: Fleet, broker: Private) -> None:
    """It may have one message at a time, and that one cannot be settled any more."""
    fleet.start(["list", "parse"])
    fleet.start(["encode", "finish"], beat=True, delay_s=0.04)
    run = fleet.start_sync()
    wait_for(lambda: any((one.stage, one.state) == ("encode", "leased") for one in fleet.place.items(run).values()))
    broker.kill()
    wait_for(lambda: all(one.state != "leased" for one in fleet.place.items(run).values()))
    time.sleep(1.0)
    broker.start()
    fleet.check(run, FILES)


POISON = (
    b"{",
    b"null",
    b'[["list"]]',
    b"\xff\xfe",
    b"[" * 100_000,
    json.dumps([["no such stage"], {}, {}]).encode(),
    json.dumps([[], {}, {}]).encode(),
    json.dumps([["list", "parse"], {"x": 1}, {}]).encode(),
    json.dumps([[{"deep": ["list"]}], {}, {}]).encode(),
)


def test_poisoned_messages_stop_no_worker(fleet: Fleet) -> None:
    app = fleet.app()
    with app.connection_for_write() as connection, connection.Producer() as producer:
        for queue in (fleet.queue("list"), fleet.queue("encode")):
            for number, body in enumerate(POISON):
                headers = {"task": "ambit.step", "id": f"poison-{number}", "lang": "py"}
                producer.publish(
                    body,
                    routing_key=queue,
                    headers=headers,
                    content_type="application/json",
                    content_encoding="utf-8",
                    declare=[app.amqp.queues[queue]] if queue in app.amqp.queues else [],
                )
            app.send_task("ambit.no_such_task", queue=queue)
    start_both(fleet)
    fleet.check(fleet.start_sync(), FILES)
