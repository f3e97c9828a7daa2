"""What was freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from core import memory

_SCATTERED = """
    import ctypes
    import psutil
    from core.memory import trim
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    held = [libc.malloc(60_000) for _ in range(2000)]
    for one in held:
        ctypes.memset(one, 1, 60_000)
    for one in held[:-1]:
        libc.free(one)
    before = psutil.Process().memory_info().rss
    assert trim()
    print((before - psutil.Process().memory_info().rss) >> 20)
"""


def test_what_was_freed_is_given_back_though_something_behind_it_is_held() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_SCATTERED)], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(ran.stdout) > 90, "MiB of 114"


def test_it_is_done_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[float] = []
    monkeypatch.setattr(memory, "trim", lambda: done.append(0.0) or True)
    seldom, often = memory.Trimmer(3600), memory.Trimmer(0)
    assert [seldom() for _ in range(3)] == [False] * 3
    assert done == []
    assert [often() for _ in range(3)] == [True] * 3
    assert len(done) == 3
