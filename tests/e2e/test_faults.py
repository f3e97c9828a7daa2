"""A database that is restarted at once and a disk that is full, while the installation syncs and a reader asks."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.factories.fault_child import SETTINGS, Child, Orders, free_port, new_key
from tests.factories.installation import Installation
from tests.factories.notes import Notes, Reader
from tests.factories.private_services import PrivatePostgres
from tests.integration.services import REQUIRED

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
    if PrivatePostgres.binary is None:
        reason = "PostgreSQL's initdb is not installed"
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    with PrivatePostgres() as server:
        yield server


def restart_often(postgres: PrivatePostgres, folder: Path, *, times: int) -> None:
    chance, notes = random.Random(31), Notes(folder / "notes", NOTES)
    orders = Orders(str(folder / "data"), free_port(), delay_s=0.003, settings={"database_url": postgres.url})
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 192 MiB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Leaves no byte free."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0")


def test_a_full_disk_loses_nothing(small_disk: Path, quick_path: Path) -> None:
    chance, notes = random.Random(32), Notes(quick_path / "notes", NOTES)
    data = small_disk / "data"
    orders = Orders(str(data), free_port(), delay_s=0.003)
    key = prepared(data, notes)
    with Reader(f"http://127.0.0.1:{orders.port}", key, notes, refused=(500, 503)) as reader:
        for pause_s in (0.0, 0.4, 0.8):
            with Child(orders) as child:
                notes.change(chance, 12)
                child.await_end(1.0 + pause_s)
                fill(small_disk / "ballast")
                assert shutil.disk_usage(small_disk).free == 0
                notes.change(chance, 12)
                child.await_end(1.5)
                (small_disk / "ballast").unlink()
                child.await_end(0.5)
        check_whole(orders, notes)
        time.sleep(0.1)
    reader.check(least=10)
