"""The embedded index in a process of its own: what happens when one of the two processes ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embed.index.base import CollectionSpec, Hit, IndexUnavailableError, PointRefusedError, SearchRequest
from embed.index.edge import EdgeIndex
from embed.index.hosted import HostedIndex
from tests.factories.points import DIMENSION, make_point, make_sparse, make_vector
from tests.factories.scopes import make_scope

NAME = "g1_test"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[HostedIndex]:
    made = HostedIndex(tmp_path / "index")
    made.ensure(CollectionSpec(NAME, DIMENSION))
    yield made
    made.close()


def test_a_dead_child_fails_its_calls_and_the_next_starts_another(index: HostedIndex, tmp_path: Path) -> None:
    index.upsert(NAME, [make_point(number) for number in range(1, 41)])
    os.kill(_children(os.getpid(), str(tmp_path))[0], signal.SIGKILL)
    with pytest.raises(IndexUnavailableError, match="started anew"):
        index.count(NAME)
    assert index.count(NAME) == 40


def test_errors_come_back_as_they_are(index: HostedIndex) -> None:
    with pytest.raises(PointRefusedError):
        index.upsert(NAME, [make_point(1, acl=0)])
    with pytest.raises(IndexUnavailableError, match="g7_none"):
        index.count("g7_none")
    assert index.count(NAME) == 0


def test_searches_that_come_together_find_what_each_finds_alone(tmp_path: Path) -> None:
    """Sixteen at once, so that they are batched, against the same index asked one by one in this process."""
    asked = [
        (SearchRequest(make_vector(number), make_sparse(number % 7), 5), make_scope(*range(1, 2 + number % 9)))
        for number in range(1, 33)
    ]
    hosted = HostedIndex(tmp_path / "index")
    hosted.ensure(CollectionSpec(NAME, DIMENSION))
    hosted.upsert(NAME, [make_point(number, acl=1 + number % 9) for number in range(1, 200)])
    found: dict[int, list[Hit]] = {}
    begin = threading.Barrier(16)

    def ask(first: int) -> None:
        begin.wait()
        for place in (first, first + 16):
            request, scope = asked[place]
            found[place] = hosted.search(NAME, request, scope)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hosted.close()
    plain = EdgeIndex(tmp_path / "index")
    for place, (request, scope) in enumerate(asked):
        assert found[place] == plain.search(NAME, request, scope)
    plain.close()


def test_the_child_of_a_killed_process_ends_and_gives_the_folder_back(tmp_path: Path) -> None:
    code = f"""
        import os, signal
        from pathlib import Path
        from embed.index.base import CollectionSpec
        from embed.index.hosted import HostedIndex
        from tests.factories.points import DIMENSION, make_point
        index = HostedIndex(Path({str(tmp_path / "index")!r}))
        index.ensure(CollectionSpec({NAME!r}, DIMENSION))
        index.upsert({NAME!r}, [make_point(number) for number in range(1, 31)])
        os.kill(os.getpid(), signal.SIGKILL)
        """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL
    again = HostedIndex(tmp_path / "index")
    assert again.count(NAME) == 30
    again.close()
    for _ in range(200):
        if not _children(None, str(tmp_path)):
            return
        time.sleep(0.05)
    raise AssertionError("a process of the index was left behind")


def test_closing_twice_is_closing_once(index: HostedIndex) -> None:
    index.close()
    index.close()
    assert index.count(NAME) == 0


def _children(parent: int | None, argument: str) -> list[int]:
    """Processes of an index below a folder; `parent`: only those it started."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_text().split("\0")
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ours = "embed.index.host" in command and any(argument in one for one in command)
        if ours and parent in (None, int(stat[1])):
            found.append(int(entry.name))
    return found
