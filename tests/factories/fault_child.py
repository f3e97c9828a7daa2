"""An installation in a process of its own, to be killed: it serves HTTP and syncs its folder over and over."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from api import keys
from api.app import create_app
from core.tables import Source
from ingest.runner import Runner
from ingest.runs import start_run
from policies import directory
from tests.factories import children
from tests.factories.encoders import WordEncoder
from tests.factories.installation import ENDED, Installation

SETTINGS: dict[str, Any] = {"chunk_tokens": 32, "worker_threads": 1, "poll_s": 0.02, "max_claims": 500}


@dataclass(frozen=True)
class Orders:
    """What a child does.

    Attributes:
        rounds: syncs to make before it ends with 0; None: until it is killed.
        die_at: how many commits and writes of the index it begins or ends before it kills itself; None: never.
        delay_s: seconds that encoding one text takes.
        hosted: whether the index is in a process of its own, as under `ambit serve`.
    """

    data: str
    port: int
    rounds: int | None = None
    die_at: int | None = None
    delay_s: float = 0.0
    hosted: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


class Child(children.Child):
    """One process that follows its orders."""

    def __init__(self, orders: Orders) -> None:
        super().__init__(obey, orders)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def new_key(place: Installation) -> str:
    """A key of an app that acts for everyone."""
    with place.db.write() as session:
        directory.put_app(session, place.tenant, "chat", acts_for=["everyone"])
        return keys.create(session, place.runtime.keyring, place.tenant, "chat", ["query"])[1]


def obey(orders: Orders) -> None:
    place = Installation(Path(orders.data), encoder=WordEncoder(orders.delay_s), **{**SETTINGS, **orders.settings})
    place.runtime.stack._hosted = orders.hosted
    place.runtime.warm_up()
    if orders.die_at is not None:
        arm(place, orders.die_at)
    runner = Runner(place.runtime.pipeline)
    runner.start()
    with served(place, orders.port):
        done = 0
        while orders.rounds is None or done < orders.rounds:
            sync(place)
            done += 1
    runner.stop()
    place.close()


@contextlib.contextmanager
def served(place: Installation, port: int) -> Iterator[None]:
    app = create_app(place.runtime, ready=lambda: {"index": True, "encoder": True})
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="off", ws="none")
    )
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    yield
    server.should_exit = True
    thread.join(20)


def sync(place: Installation) -> None:
    """One run to its end; a database or a disk that fails meanwhile is waited for."""
    run: int | None = None
    while True:
        try:
            if run is None:
                with place.db.write() as session:
                    run = start_run(session, session.scalars(select(Source)).one()).id
            if place.run(run).state in ENDED:
                return
        except Exception:  # noqa: BLE001 - what is broken here is what the test breaks
            time.sleep(0.1)
        time.sleep(0.01)


def arm(place: Installation, die_at: int) -> None:
    """Kills the process at the beginning or the end of a commit or of a write to the index, the `die_at`-th of them."""
    left = die_at

    def tick(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(place.db.engine, "commit", tick)
    event.listen(Session, "after_commit", tick)
    index: Any = place.runtime.stack.index
    for name in ("upsert", "place", "describe", "delete"):
        setattr(index, name, _between(tick, getattr(index, name)))


def _between(tick: Callable[[], None], write: Callable[..., None]) -> Callable[..., None]:
    def written(*arguments: Any, **named: Any) -> None:
        tick()
        write(*arguments, **named)
        tick()

    return written
