"""A broker that is killed and comes back empty, and messages that nobody understands: the work stands in SQL."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from tests.factories.installation import Installation
from tests.factories.private_services import Private, PrivateRabbitMQ, PrivateRedis
from tests.integration.services import REQUIRED
from tests.integration.test_celery import FILES, Workers, done_items, finish, sync_with, wait_for
from workers.app import make_app, queue_names

pytestmark = pytest.mark.integration


def provided(kind: type[PrivateRedis | PrivateRabbitMQ]) -> Private:
    if kind.binary is None:
        reason = f"{kind.__name__}: its server is not installed"
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    return kind()


@pytest.fixture(params=[PrivateRedis, pytest.param(PrivateRabbitMQ, marks=pytest.mark.full)])
def broker(request: pytest.FixtureRequest) -> Iterator[Private]:
    with provided(request.param) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, postgres_url: str, broker: Private) -> dict[str, Any]:
    return {
        "data_dir": str(tmp_path / "data"),
        "database_url": postgres_url,
        "broker_url": broker.url,
        "encoder": "word-hash",
        "log_level": "error",
        "lease_s": 3,
        "parse_timeout_s": 1,
        "retry_base_s": 0.05,
    }


@pytest.fixture
def place(settings: dict[str, Any], tmp_path: Path) -> Iterator[Installation]:
    chosen = {name: value for name, value in settings.items() if name in ("database_url", "broker_url")}
    installation = Installation(tmp_path / "data", **chosen)
    installation.add_user("ana")
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.txt").write_text(f"Duck number {number} swims.")
    installation.add_folder(folder)
    yield installation
    installation.close()


@pytest.fixture
def workers(settings: dict[str, Any]) -> Iterator[Workers]:
    found = Workers(settings)
    yield found
    found.stop_all()


def test_a_broker_that_is_killed_and_comes_back_empty_loses_nothing(
    place: Installation, workers: Workers, settings: dict[str, Any], broker: Private
) -> None:
    workers.start(["list", "parse"], pool="solo")
    workers.start(["encode", "finish"], pool="solo", beat=True)
    run = sync_with(place, settings)
    for least in (3, 25):
        wait_for(more_than(place, run, least))
        broker.kill()
        time.sleep(0.5)
        broker.start()
    finish(place, workers, run)


def more_than(place: Installation, run: int, least: int) -> Callable[[], bool]:
    return lambda: done_items(place, run) > least


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


def test_poisoned_messages_stop_no_worker(place: Installation, workers: Workers, settings: dict[str, Any]) -> None:
    app = make_app(Settings(_env_file=None, **settings))
    (queue,) = queue_names(app, ["list"])
    (other,) = queue_names(app, ["encode"])
    with app.connection_for_write() as connection, connection.Producer() as producer:
        for place_of in (queue, other):
            for number, body in enumerate(POISON):
                headers = {"task": "ambit.step", "id": f"poison-{number}", "lang": "py"}
                producer.publish(
                    body,
                    routing_key=place_of,
                    headers=headers,
                    content_type="application/json",
                    content_encoding="utf-8",
                    declare=[app.amqp.queues[place_of]] if place_of in app.amqp.queues else [],
                )
            app.send_task("ambit.no_such_task", queue=place_of)
    workers.start(["list", "parse"], pool="solo")
    workers.start(["encode", "finish"], pool="solo", beat=True)
    finish(place, workers, sync_with(place, settings))
