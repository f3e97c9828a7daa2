from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cli.counting import CountingIndex
from cli.demo import COMPANY
from cli.demo_script import Expected, Told, faults, read_script
from cli.memory import PeakMemory
from embed.index.base import CollectionSpec, Payload, Point, SparseVector
from embed.index.edge import EdgeIndex
from embed.index.points import DENSE


def _told(*cited: tuple[str, str], read: tuple[str, ...] = ()) -> Told:
    return Told({}, cited, frozenset(read) | {path for path, _ in cited})


def test_the_script_says_what_comes_after_the_right_is_gone() -> None:
    script = read_script(COMPANY / "demo.yaml")
    assert len(script.questions) == 3
    assert script.revoke.then == script.questions[2][1]["hana"]
    assert script.revoke.hides == script.questions[2][1]["ana"].document


@pytest.mark.parametrize(
    ("told", "expected", "wrong"),
    [
        (_told(("a.md", "Up to  three\ndays")), Expected("a.md", "up to three days"), False),
        (_told(("b.md", "x"), ("a.md", "three")), Expected("a.md", "three"), False),
        (_told(("a.md", "two")), Expected("a.md", "three"), True),
        (_told(("b.md", "three")), Expected("a.md", "three"), True),
        (_told(read=("a.md",)), Expected("a.md"), True),
        (_told(), Expected("a.md"), True),
        (_told(), Expected(None), False),
        (_told(("a.md", "x")), Expected(None), True),
        (_told(read=("a.md",)), Expected(None), True),
    ],
)
def test_an_answer_is_held_against_what_is_expected(told: Told, expected: Expected, wrong: bool) -> None:
    assert bool(faults(told, expected)) is wrong


def test_every_write_to_the_index_is_counted(tmp_path: Any) -> None:
    index = CountingIndex(EdgeIndex(tmp_path))
    index.ensure(CollectionSpec("c", 4))
    dense = np.array([1, 0, 0, 0], np.float32)
    ids = [f"00000000-0000-0000-0000-{n:012d}" for n in range(3)]
    index.upsert(
        "c", [Point(one, dense, SparseVector((), ()), Payload(1, 1, 1, n + 1, 1)) for n, one in enumerate(ids)]
    )
    assert (index.vectors, index.touched) == (3, 0)
    index.place("c", ids[:2], acl=2)
    index.describe("c", ids[:1], facets=[1], modified=5)
    index.delete("c", ids[:1])
    assert (index.vectors, index.touched) == (3, 4)
    assert index.count("c") == 2
    assert len(list(index.scan("c"))) == 2
    index.close()
    assert DENSE


def test_memory_counts_this_process() -> None:
    with PeakMemory() as memory:
        block = bytearray(64 * 2**20)
        block[::4096] = b"x" * len(block[::4096])
    assert memory.peak_mb > 10
