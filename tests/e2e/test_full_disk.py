"""A disk that is full to the last byte, while the installation syncs and a reader asks."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.test_faults import NOTES, check_whole, prepared
from tests.factories.fault_child import Child, Orders, free_port
from tests.factories.notes import Notes, Reader

pytestmark = pytest.mark.e2e


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


@pytest.mark.full
def test_a_full_disk_loses_nothing(small_disk: Path, quick_path: Path) -> None:
    chance, notes = random.Random(32), Notes(quick_path / "notes", NOTES)
    data = small_disk / "data"
    orders = Orders(str(data), free_port(), delay_s=0.003, hosted=True)
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
