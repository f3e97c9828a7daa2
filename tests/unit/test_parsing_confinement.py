"""A parser that was taken over, in the real parser process: whatever it tries is stopped, told, and harms nobody."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ingest.model import Content, ItemError
from ingest.parsing import Limits, landlock, sandbox
from ingest.parsing.limits import MIB
from ingest.parsing.sandbox import ParserPool, PoolSettings
from tests.factories.children import wait_for
from tests.factories.loopback import Listener

linux = sys.platform.startswith("linux")
needs_linux = pytest.mark.skipif(not linux, reason="Landlock and seccomp are Linux's")
needs_landlock = pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
pytestmark = needs_linux

Attack = Callable[..., str]


def attacker(pool: ParserPool) -> Attack:
    def attack(do: str, *, timeout_s: float = 30.0, **order: Any) -> str:
        body = json.dumps({"do": do, **order}).encode()
        return pool.parse(Content(name="evil.json", body=body), timeout_s=timeout_s).elements[0].text

    return attack


@pytest.fixture(scope="module")
def taken_over() -> Iterator[ParserPool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "WORKER", "tests.factories.hostile_parser")
        with ParserPool(Limits(), PoolSettings(processes=1, memory=256 * MIB)) as pool:
            yield pool


@pytest.fixture
def attack(taken_over: ParserPool) -> Attack:
    return attacker(taken_over)


@pytest.fixture(params=["landlock", "seccomp", "namespace", "landlock namespace", "seccomp namespace"])
def attack_without(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attack]:
    """As on a kernel that lacks some layers."""
    monkeypatch.setattr(sandbox, "WORKER", "tests.factories.hostile_parser")
    monkeypatch.setattr(sandbox, "_ENVIRONMENT", {**sandbox._ENVIRONMENT, "HOSTILE_WITHOUT": request.param})
    with ParserPool(Limits(), PoolSettings(processes=1, memory=256 * MIB)) as pool:
        yield attacker(pool)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of another source."""
    path = tmp_path / "salaries.txt"
    path.write_text("CANARY-7361")
    return path


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with Listener(tmp_path) as made:
        yield made


def test_the_listener_would_have_noticed(listener: Listener) -> None:
    with socket.create_connection(listener.tcp.getsockname()):
        assert not listener.nobody_came()


def test_every_layer_stands_on_this_machine_or_is_named(taken_over: ParserPool) -> None:
    held = taken_over.confinement()
    assert held.calls
    assert (held.files > 0) == (landlock.version() > 0)
    assert ("Landlock (files)" in held.missing) == (landlock.version() == 0)


@needs_landlock
def test_no_file_is_read_but_the_interpreters(attack: Attack, victim: Path, tmp_path: Path) -> None:
    for path in (victim, "/etc/passwd", "/etc/hostname", f"/proc/self/root{victim}", f"/proc/{os.getpid()}/environ"):
        assert attack("read", path=str(path)) == "refused: PermissionError"
    assert attack("read", path=str(Path(__file__).parents[2] / "pyproject.toml")) == "refused: PermissionError"
    assert attack("listing", path=str(tmp_path)) == "refused: PermissionError"
    assert attack("read", path=os.__file__).startswith("done")


def test_no_file_is_changed(attack: Attack, victim: Path, tmp_path: Path) -> None:
    before = victim.stat()
    for do in ("write", "append", "cut", "remove", "rename", "link", "mode"):
        assert attack(do, path=str(victim)) == "refused: PermissionError", do
    assert attack("write", path=str(tmp_path / "new")) == "refused: PermissionError"
    assert victim.read_text() == "CANARY-7361"
    assert victim.stat().st_mode == before.st_mode
    assert list(tmp_path.iterdir()) == [victim]


def test_nobody_is_reached(attack: Attack, listener: Listener) -> None:
    port, udp = listener.port, listener.udp.getsockname()[1]
    assert attack("connect", port=port) == "refused: PermissionError"
    assert attack("connect", path=listener.path) == "refused: PermissionError"
    assert attack("datagram", port=udp) == "refused: PermissionError"
    assert attack("raw_socket").startswith("refused")
    assert listener.nobody_came()


def test_no_program_runs_and_no_process_is_made(attack: Attack) -> None:
    shell = ["/bin/sh", "-c", "echo taken over"]
    assert attack("run", command=shell) == "refused: PermissionError"
    assert attack("become", command=shell) == "refused: PermissionError"
    assert attack("fork") == "refused: PermissionError"
    assert attack("raw_fork").startswith("refused")


def test_its_owner_cannot_be_killed_or_outlived(attack: Attack) -> None:
    for do in ("kill_owner", "raw_kill_owner", "outlive", "unlimit"):
        assert attack(do) in {"refused: PermissionError", "refused: ValueError"}, do


def test_memory_and_time_end(taken_over: ParserPool, attack: Attack) -> None:
    with pytest.raises(ItemError) as caught:
        attack("allocate")
    assert caught.value.item_code == "parse_memory"
    with pytest.raises(ItemError) as caught:
        attack("spin", timeout_s=0.5)
    assert caught.value.item_code == "parse_timeout"
    assert attack("threads").startswith("refused")
    assert attack("read", path=os.__file__).startswith("done")
    assert len(taken_over._all) == 1


def test_crashes_and_false_answers_cost_one_file(attack: Attack) -> None:
    for order in (
        {"do": "crash"},
        {"do": "garble", "frame": "garbage that is no frame at all"},
        {"do": "garble", "frame": "\0\0\0\0\0\0\0\x02[]"},
        {"do": "garble", "frame": "\0\0\0\0\0\0\0\x02{}"},
        {"do": "garble", "frame": "\xff" * 8},
    ):
        with pytest.raises(ItemError) as caught:
            attack(**order)
        assert caught.value.item_code == "parser_crashed", order
    with pytest.raises(ItemError) as caught:
        attack("flood", timeout_s=1.0)
    assert caught.value.item_code in {"parse_timeout", "parser_crashed"}
    assert attack("read", path=os.__file__).startswith("done")


def test_where_a_layer_is_missing_the_others_still_cut_the_network(
    attack_without: Attack, listener: Listener, victim: Path
) -> None:
    port = listener.port
    assert attack_without("connect", port=port).startswith("refused")
    assert listener.nobody_came()
    assert attack_without("write", path=str(victim)).startswith("refused")
    assert victim.read_text() == "CANARY-7361"


TREE = """
import os, subprocess, sys, time
from pathlib import Path
from ingest.parsing.confine import confine
held = confine(os.getppid(), [Path(sys.argv[1])])
def tried(*command):
    try:
        return subprocess.run(command, capture_output=True, timeout=20, text=True).stdout.strip() or "ran"
    except OSError as error:
        return type(error).__name__
print(held.files > 0, tried(sys.argv[1], "a b"), tried("/bin/cat", "/etc/passwd"), tried("/bin/sh", "-c", "true"))
"""


@needs_landlock
def test_only_the_programs_that_are_named_may_run(tmp_path: Path) -> None:
    """`echo` stands for tesseract here."""
    command = [sys.executable, "-c", TREE, "/bin/echo"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True a b PermissionError PermissionError"


def test_what_a_parser_started_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "WORKER", "tests.factories.hostile_parser")
    with ParserPool(Limits(), PoolSettings(processes=1, programs=(Path("/bin/sleep"),))) as pool:
        if not pool.confinement().files:
            pytest.skip("programs run only where Landlock tells them apart")
        (child,) = pool._all
        assert attacker(pool)("fork") == "refused: PermissionError"
        with pytest.raises(ItemError):
            attacker(pool)("run", command=["/bin/sleep", "600"], timeout_s=1.0)
    wait_for(lambda: not any(_runs_in(one, child.process.pid) for one in psutil.process_iter()), limit_s=20)


def _runs_in(process: psutil.Process, group: int) -> bool:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    return False
