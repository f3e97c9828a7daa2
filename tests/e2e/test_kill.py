"""kill -9 of the process that lists, parses, encodes and answers, at random moments and at every commit, while its
source changes and a reader asks throughout: nothing is lost, nothing is twice, no answer is a mixture or a gap.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.factories.fault_child import SETTINGS, Child, Orders, free_port, new_key
from tests.factories.installation import Installation
from tests.factories.notes import Notes, Reader

NOTES = 60
EVENTS = 150
"""About as many commits and writes of the index as a sync of twenty edits has, twice over."""


def prepared(data: Path, notes: Notes) -> str:
    """An installation that holds the notes; a key to ask it."""
    place = Installation(data, **SETTINGS)
    try:
        place.add_folder(notes.folder)
        place.add_user("ana")
        key = new_key(place)
        place.sync()
        return key
    finally:
        place.close()


def check_whole(data: Path, port: int, notes: Notes) -> None:
    """One sync ends the run that was killed, one more sees what changed since: SQL, index and source agree."""
    with Child(Orders(str(data), port, rounds=2)) as child:
        assert child.await_end(120) == 0
    place = Installation(data, **SETTINGS)
    try:
        place.drain()
        assert place.documents() == notes.truth()
        place.check_consistent()
    finally:
        place.close()


def kill_once(orders: Orders, chance: random.Random, notes: Notes) -> None:
    """By the clock, or by itself at some commit."""
    with Child(orders) as child:
        if orders.die_at is None:
            child.await_end(chance.uniform(0.05, 1.2))
        while child.await_end(0.2) is None and orders.die_at is not None:
            notes.change(chance, 2)
        child.kill()
        assert child.process.exitcode == -signal.SIGKILL


def kill_and_check(folder: Path, *, kills: int, seed: int, every: int) -> Reader:
    chance = random.Random(seed)
    notes = Notes(folder / "notes", NOTES)
    data, port = folder / "data", free_port()
    with Reader(f"http://127.0.0.1:{port}", prepared(data, notes), notes) as reader:
        for number in range(1, kills + 1):
            notes.change(chance, 20)
            die_at = chance.randint(1, EVENTS) if number % 2 else None
            orders = Orders(str(data), port, die_at=die_at, delay_s=0.003, hosted=number % 4 < 2)
            kill_once(orders, chance, notes)
            if number % every == 0:
                check_whole(data, port, notes)
    return reader


@pytest.mark.e2e
def test_ten_kills_lose_nothing_and_repeat_nothing(quick_path: Path) -> None:
    kill_and_check(quick_path, kills=10, seed=20, every=10).check(least=20)


@pytest.mark.e2e
@pytest.mark.full
@pytest.mark.timeout(3600)
def test_two_hundred_kills_lose_nothing_and_repeat_nothing(quick_path: Path) -> None:
    reader = kill_and_check(quick_path, kills=200, seed=200, every=10)
    print(f"200 kills, {reader.answers} answers between them")
    reader.check(least=500)
