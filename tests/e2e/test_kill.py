"""kill -9 at random points of a sync, twenty times, while the source changes: nothing is lost, nothing is twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.factories.installation import Installation

KILLS = 20
ROUNDS = 60
FILES = 120
DELAY_S = "0.012"


def write(folder: Path, number: int, revision: int) -> None:
    path = folder / f"{number % 7}" / f"note-{number:03d}.txt"
    path.parent.mkdir(exist_ok=True)
    lines = [f"Paragraph {at} of note {number}, which stays as it is." for at in range(6)]
    lines.insert(3, f"This is revision {revision} of note {number}.")
    path.write_text("\n\n".join(lines))


def change(folder: Path, chance: random.Random, revision: int) -> None:
    """Edits some notes, removes some, adds some."""
    for number in chance.sample(range(FILES), 60):
        write(folder, number, revision)
    for number in chance.sample(range(FILES), 3):
        (folder / f"{number % 7}" / f"note-{number:03d}.txt").unlink(missing_ok=True)


def start(data: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.factories.kill_child", str(data), DELAY_S],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.e2e
def test_twenty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    chance = random.Random(20)
    folder, data = tmp_path / "notes", tmp_path / "data"
    folder.mkdir()
    for number in range(FILES):
        write(folder, number, 0)
    place = Installation(data)
    place.add_folder(folder)
    place.add_user("ana")
    place.close()
    killed = 0
    for revision in range(1, ROUNDS + 1):
        child = start(data)
        time.sleep(chance.uniform(0.0, 0.9))
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
        change(folder, chance, revision)
        if killed == KILLS:
            break
    assert killed == KILLS, "too few syncs were still running when their turn to be killed came"
    for _ in range(2):  # the first ends the run that was killed, the second sees what changed since it listed
        child = start(data)
        assert child.wait(timeout=120) == 0
        assert child.stdout is not None
        child.stdout.close()
    place = Installation(data)
    place.drain()
    truth = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.txt")}
    assert place.documents() == truth
    place.check_consistent()
    place.close()
