"""Workers, broker, database and index that are killed while Celery workers sync and a reader asks over HTTP."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.factories.children import Child, wait_for
from tests.factories.fault_child import SETTINGS, new_key
from tests.factories.fleet import Fleet
from tests.factories.notes import Notes, Reader
from tests.factories.private_services import Private, PrivatePostgres, PrivateRabbitMQ, PrivateRedis, provided

pytestmark = [pytest.mark.e2e, pytest.mark.integration]
NOTES = 40
STAGES = {"list": ["list"], "parse": ["parse"], "encode": ["encode"], "rest": ["place", "finish", "purge", "profile"]}
FAULTS = (*STAGES, "broker", "database", "index")


class World:
    """An installation with one worker for each stage, a server, and everything that can be killed."""

    def __init__(self, folder: Path, broker: Private, database: PrivatePostgres) -> None:
        self.broker, self.database = broker, database
        self.notes = Notes(folder / "notes", NOTES)
        self.fleet = Fleet(folder, database_url=database.url, broker_url=broker.url, shared=True, **SETTINGS)
        self.place = self.fleet.place
        self.place.add_user("ana")
        self.place.add_folder(self.notes.folder)
        self.place.sync()
        self.workers = {name: self._worker(name) for name in STAGES}

    def _worker(self, name: str) -> Child:
        return self.fleet.start(STAGES[name], beat=name == "rest", delay_s=0.003)

    def reader(self) -> Reader:
        key = new_key(self.place)
        return Reader(f"http://127.0.0.1:{self.fleet.serve()}", key, self.notes, refused=(500, 503))

    def break_(self, what: str) -> None:
        """kill -9, and another one in its place."""
        if what in STAGES:
            self.workers[what].kill_all()
            self.workers[what] = self._worker(what)
        elif what == "broker":
            self.broker.kill()
            self.broker.start()
        elif what == "database":
            self.database.restart()
            self.place.db.engine.dispose()
        elif self.fleet.index is not None:
            self.fleet.index.kill()
            self.fleet.index.start()

    def break_in_a_sync(self, what: str, chance: random.Random) -> None:
        """After some documents of a sync are in, and before others are; the source goes on changing."""
        self.notes.change(chance, 12)
        run, least = self.fleet.start_sync(), chance.randint(1, 8)
        wait_for(lambda: self.fleet.done(run) >= least)
        self.notes.change(chance, 4)
        self.break_(what)
        self.fleet.await_end(run)

    def check_whole(self) -> None:
        """One more sync ends with exactly what the source holds."""
        run = self.fleet.start_sync()
        self.fleet.await_end(run)
        assert self.place.run(run).state == "succeeded"
        self.fleet.stop()
        self.place.drain()
        assert self.place.documents() == self.notes.truth()
        self.place.check_consistent()


@pytest.fixture
def world(request: pytest.FixtureRequest, quick_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        broker, database = (stack.enter_context(provided(kind)) for kind in (request.param, PrivatePostgres))
        made = World(quick_path, broker, database)
        stack.enter_context(made.fleet)
        yield made


def break_everything(world: World, *, times: int, seed: int) -> Reader:
    """Each part is killed so many times, in a mixed order, in the middle of a sync."""
    chance = random.Random(seed)
    faults = list(FAULTS) * times
    chance.shuffle(faults)
    with world.reader() as reader:
        wait_for(lambda: reader.answers > 0)
        for what in faults:
            world.break_in_a_sync(what, chance)
        world.check_whole()
    return reader


@pytest.mark.parametrize("world", [PrivateRedis], indirect=True)
def test_whatever_is_killed_under_workers_nothing_is_lost_and_no_answer_is_a_mixture(world: World) -> None:
    break_everything(world, times=1, seed=41).check(least=20)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("world", [PrivateRedis, PrivateRabbitMQ], indirect=True)
def test_however_often_it_is_killed_nothing_is_lost(world: World) -> None:
    reader = break_everything(world, times=8, seed=42)
    print(f"{8 * len(FAULTS)} faults, {reader.answers} answers between them")
    reader.check(least=200)
