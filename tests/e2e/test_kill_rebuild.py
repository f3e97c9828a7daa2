"""kill -9 while the index is built anew: it goes on from there, and readers have answers in between."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingest.rebuild import begin
from ingest.reconcile import verify
from tests.factories.encoders import HalfEncoder
from tests.factories.installation import Installation

FILES = 60
KILLS = 5
ROOT = Path(__file__).parents[2]


def opened(data: Path) -> Installation:
    place = Installation(data)
    place.runtime.stack._encoders[HalfEncoder.name] = HalfEncoder()
    return place


def start(data: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.factories.rebuild_child", str(data), "0.01"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def check(data: Path) -> str:
    """The live generation's encoder; its index agrees with SQL and answers."""
    place = opened(data)
    try:
        assert "subject7" in place.search("ana", "subject7", top_k=1)[0].text
        assert verify(place.runtime.pipeline).agree
        return place.runtime.stack.generation().encoder
    finally:
        place.close()


@pytest.mark.e2e
def test_a_killed_build_goes_on(tmp_path: Path) -> None:
    chance, data, folder = random.Random(3), tmp_path / "data", tmp_path / "files"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"doc-{number}.txt").write_text(f"Report {number} is about subject{number}.", "utf-8")
    place = opened(data)
    place.add_folder(folder)
    place.add_user("ana")
    place.sync()
    begin(place.db, HalfEncoder(), HalfEncoder.name)
    place.close()
    for _ in range(KILLS):
        child = start(data)
        time.sleep(chance.uniform(0.02, 0.3))
        child.kill()
        child.communicate()
        check(data)
    child = start(data)
    child.communicate(timeout=120)
    assert check(data) == HalfEncoder.name
