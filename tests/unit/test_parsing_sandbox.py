"""The parser processes: what holds them, what ends them, and what their owner says then."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from core.errors import UnavailableError
from ingest.model import Content, Element, EmptyError, ItemError, Parsed
from ingest.parsing import Limits
from ingest.parsing.confine import Confinement
from ingest.parsing.limits import MIB
from ingest.parsing.sandbox import ParserPool, PoolSettings
from ingest.parsing.wire import WireError, dump_parsed, from_json, load_parsed, to_json
from tests.factories import files


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    with ParserPool(Limits(), PoolSettings(processes=1, memory=512 * MIB)) as made:
        yield made


def pids(pool: ParserPool) -> set[int]:
    return {child.process.pid for child in pool._all}


def test_bytes_and_paths_come_back_alike(pool: ParserPool, tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(files.make_docx())
    assert pool.parse(Content(name="a.docx", body=path)) == pool.parse(Content(name="a.docx", body=path.read_bytes()))


def test_a_mail_of_outlook_is_read_offline(pool: ParserPool) -> None:
    assert pool.parse(Content(name="a.msg", body=files.make_msg())).title == "About the valve"


def test_errors_come_through(pool: ParserPool) -> None:
    with pytest.raises(EmptyError):
        pool.parse(Content(name="a.txt", body=b" "))
    with pytest.raises(ItemError, match=r"a\.pdf") as caught:
        pool.parse(Content(name="a.pdf", body=files.make_pdf([["x"]], password="p")))
    assert caught.value.item_code == "file_encrypted"


def test_elements_start_no_process() -> None:
    with ParserPool(Limits()) as idle:
        assert idle.parse(Content(name="row", elements=(Element("text", "words"),))).elements[0].text == "words"
        assert not idle._all


def test_a_file_that_takes_too_long_ends_its_process_only(pool: ParserPool) -> None:
    slow = Content(name="slow.html", body=b"<p>x" * 2_000_000)
    with pytest.raises(ItemError, match=r"slow\.html") as caught:
        pool.parse(slow, timeout_s=0.3)
    assert caught.value.item_code == "parse_timeout"
    assert pool.parse(Content(name="a.txt", body=b"next")).elements[0].text == "next"


def test_a_file_that_needs_too_much_memory_is_refused() -> None:
    with ParserPool(Limits(), PoolSettings(processes=1, memory=64 * MIB)) as tight:
        with pytest.raises(ItemError, match=r"big\.txt") as caught:
            tight.parse(Content(name="big.txt", body=b"word " * 12_000_000))
        assert caught.value.item_code in {"parse_memory", "parser_crashed"}
        assert tight.parse(Content(name="a.txt", body=b"next")).elements[0].text == "next"


def test_a_crash_is_told_and_replaced(pool: ParserPool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.parse(Content(name="a.txt", body=b"text"))
    (child,) = pool._all

    def dying(header: bytes, body: bytes, most: int) -> dict[str, object]:
        child.process.kill()
        child.process.wait()
        return type(child).ask(child, header, body, most)

    monkeypatch.setattr(child, "ask", dying)
    with pytest.raises(ItemError, match=r"bad\.txt") as caught:
        pool.parse(Content(name="bad.txt", body=b"text"))
    assert caught.value.item_code == "parser_crashed"
    assert pool.parse(Content(name="a.txt", body=b"next")).elements[0].text == "next"


def test_a_process_that_died_while_idle_is_not_used(pool: ParserPool) -> None:
    pool.parse(Content(name="a.txt", body=b"text"))
    (child,) = pool._all
    child.process.kill()
    child.process.wait()
    assert pool.parse(Content(name="a.txt", body=b"next")).elements[0].text == "next"


def test_a_process_is_replaced_after_so_many_files() -> None:
    with ParserPool(Limits(), PoolSettings(processes=1, files=2)) as worn:
        seen = []
        for _ in range(3):
            worn.parse(Content(name="a.txt", body=b"text"))
            seen.append(pids(worn))
    assert len(seen[0]) == 1
    assert seen[1] == set()
    assert seen[2] - seen[0] == seen[2] != set()


def test_callers_share_processes_and_get_their_own_answers() -> None:
    with ParserPool(Limits(), PoolSettings(processes=2)) as shared, ThreadPoolExecutor(6) as threads:
        contents = [Content(name=f"{n}.txt", body=f"text {n}".encode()) for n in range(30)]
        texts = [document.elements[0].text for document in threads.map(shared.parse, contents)]
        assert texts == [f"text {n}" for n in range(30)]
        assert 1 <= len(shared._all) <= 2


def test_a_child_outlives_the_thread_that_asked_first() -> None:
    with ParserPool(Limits(), PoolSettings(processes=1)) as pool:
        thread = threading.Thread(target=pool.parse, args=(Content(name="a.txt", body=b"text"),))
        thread.start()
        thread.join()
        before = pids(pool)
        pool.parse(Content(name="a.txt", body=b"text"))
        assert pids(pool) == before


def test_close_ends_all_processes() -> None:
    pool = ParserPool(Limits(), PoolSettings(processes=1))
    pool.parse(Content(name="a.txt", body=b"text"))
    (pid,) = pids(pool)
    pool.close()
    pool.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(UnavailableError):
        pool.parse(Content(name="a.txt", body=b"text"))


def test_children_die_with_their_owner() -> None:
    script = """
        import os, sys, time
        from ingest.model import Content
        from ingest.parsing import Limits
        from ingest.parsing.sandbox import ParserPool
        pool = ParserPool(Limits())
        pool.parse(Content(name="a.txt", body=b"text"))
        print(*[child.process.pid for child in pool._all], flush=True)
        os.kill(os.getpid(), 9)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    (pid,) = map(int, run.stdout.split())
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(10)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_parser_sees_no_secret_and_no_descriptor(pool: ParserPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMBIT_KEY", "secret-7361")
    with ParserPool(Limits(), PoolSettings(processes=1)) as fresh:
        fresh.parse(Content(name="a.txt", body=b"text"))
        (pid,) = pids(fresh)
        process = psutil.Process(pid)
        assert "AMBIT_KEY" not in process.environ()
        assert all(file.path == os.devnull for file in process.open_files())


CONFINED = """
    import os, resource, socket, sys, tempfile
    from ingest.parsing.confine import confine, limit_memory
    def namespace():
        return os.readlink("/proc/self/ns/net")
    before = namespace()
    held = confine(os.getppid())
    limit_memory(64 * 2**20)
    def fails(action):
        try:
            action()
        except (OSError, MemoryError) as error:
            return type(error).__name__
        return "held not"
    def write():
        with open(sys.argv[1], "w") as file:
            file.write("x")
    print(fails(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 2)))
    print(fails(lambda: socket.socket()))
    print(fails(write))
    print(fails(lambda: bytearray(200 * 2**20)))
    print(resource.getrlimit(resource.RLIMIT_CORE))
    print(not held.namespace or namespace() != before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces and address space limits are Linux's")
def test_confinement_holds(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(CONFINED), str(tmp_path / "file"), "9"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:6] == [
        "PermissionError",
        "PermissionError",
        "PermissionError",
        "MemoryError",
        "(0, 0)",
        "True",
    ]


def test_the_layers_that_hold_are_told(pool: ParserPool) -> None:
    held = pool.confinement()
    assert Confinement().missing == (
        "Landlock (files)",
        "seccomp (system calls)",
        "a cut from the network by the kernel",
    )
    assert held == pool.confinement()
    assert set(held.missing) < set(Confinement().missing)


def test_a_file_that_cannot_be_read_or_is_too_long_starts_no_process(tmp_path: Path) -> None:
    long = tmp_path / "zeros.txt"
    with long.open("wb") as file:
        file.truncate(1 << 30)
    with ParserPool(Limits(max_bytes=1000)) as pool:
        for path, code in ((tmp_path / "gone.txt", "file_broken"), (long, "file_too_large")):
            with pytest.raises(ItemError) as caught:
                pool.parse(Content(name=path.name, body=path))
            assert caught.value.item_code == code
        assert not pool._all


def test_answers_are_checked() -> None:
    document = load_parsed(from_json(to_json(dump_parsed(sample()))))
    assert document == sample()
    for damage in (
        {"title": 1},
        {"elements": [["script", "x", 0, None, None]]},
        {"elements": [["text", 1, 0, None, None]]},
    ):
        with pytest.raises(WireError):
            load_parsed({**dump_parsed(sample()), **damage})
    with pytest.raises(WireError):
        from_json(b"[" * 100_000)


def sample() -> Parsed:
    return Parsed("title", (Element("table", "a | b", 0, 3, "x | y"),), "text/csv", note="note")
