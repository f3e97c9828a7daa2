"""A database that is restarted at once, while the installation syncs and a reader asks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories.fault_child import SETTINGS, Child, Orders, free_port, new_key
from tests.factories.installation import Installation
from tests.factories.notes import Notes, Reader
from tests.factories.private_services import PrivatePostgres, provided

pytestmark = pytest.mark.e2e
NOTES = 40


def prepared(data: Path, notes: Notes, **settings: Any) -> str:
    """An installation that holds the notes; a key to ask it."""
    place = Installation(data, **SETTINGS, **settings)
    try:
        place.add_folder(notes.folder)
        place.add_user("ana")
        place.sync()
        return new_key(place)
    finally:
        place.close()


def check_whole(orders: Orders, notes: Notes) -> None:
    with Child(Orders(orders.data, orders.port, rounds=2, settings=orders.settings)) as child:
        assert child.await_end(120) == 0
    place = Installation(Path(orders.data), **SETTINGS, **orders.settings)
    try:
        place.drain()
        assert place.documents() == notes.truth()
        place.check_consistent()
    finally:
        place.close()


@pytest.fixture
def postgres() -> Iterator[PrivatePostgres]:
    with provided(PrivatePostgres) as server:
        yield server


def restart_often(postgres: PrivatePostgres, folder: Path, *, times: int) -> None:
    chance, notes = random.Random(31), Notes(folder / "notes", NOTES)
    orders = Orders(
        str(folder / "data"), free_port(), delay_s=0.003, hosted=True, settings={"database_url": postgres.url}
    )
    key = prepared(folder / "data", notes, **orders.settings)
    with Reader(f"http://127.0.0.1:{orders.port}", key, notes, refused=(500, 503)) as reader:
        with Child(orders) as child:
            for _ in range(times):
                notes.change(chance, 12)
                assert child.await_end(chance.uniform(0.5, 2.0)) is None, "the worker did not outlive its database"
                postgres.restart()
            child.await_end(2.0)
        check_whole(orders, notes)
    reader.check(least=10)


def test_a_database_that_is_restarted_at_once_loses_nothing(postgres: PrivatePostgres, quick_path: Path) -> None:
    restart_often(postgres, quick_path, times=3)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_database_that_is_restarted_often_loses_nothing(postgres: PrivatePostgres, quick_path: Path) -> None:
    restart_often(postgres, quick_path, times=30)
