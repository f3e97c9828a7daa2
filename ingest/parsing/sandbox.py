"""Parser processes: files are read where a bomb, a crash or a hostile document harms nothing but itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import ingest
from core.errors import UnavailableError
from ingest.model import Content, EmptyError, ItemError, Parsed
from ingest.parsing.confine import Confinement
from ingest.parsing.limits import MIB, Limits
from ingest.parsing.parse import parsed_from_elements
from ingest.parsing.source import Source, broken
from ingest.parsing.wire import WireError, from_json, load_parsed, receive, send, send_file, to_json

START_TIMEOUT_S = 60.0
"""Seconds a parser process may take to start on a busy machine."""
WORKER = "ingest.parsing.worker"
"""The module that a parser process runs."""
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "PYTHONPATH": str(Path(ingest.__file__).parents[1]),
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "DO_NOT_TRACK": "1",
    "UNSTRUCTURED_DISABLE_NOTICE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many parser processes there are and when one is replaced.

    Attributes:
        processes: most parser processes at a time; each starts when it is first needed.
        memory: bytes of address space each may use above its start.
        files: files after which a process is replaced.
        growth: bytes of resident memory above its start after which it is replaced.
        programs: full paths of programs that a parser may start; none where the kernel cannot tell them apart.
    """

    processes: int = 2
    memory: int = 2048 * MIB
    files: int = 500
    growth: int = 400 * MIB
    programs: tuple[Path, ...] = ()


class Child:
    """One parser process and the pipes to it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.requests = cast("BinaryIO", process.stdin)
        self.answers = cast("BinaryIO", process.stdout)
        self.files = 0
        self.confinement = Confinement()
        self.resident = self.resident_at_start = 0

    def greet(self) -> None:
        """Waits for the process to be confined.

        Raises:
            WireError: it ended before.
            KeyError, TypeError: it said something else.
        """
        hello = from_json(receive(self.answers))
        self.confinement = Confinement(**hello["confinement"])
        self.resident = self.resident_at_start = int(hello.get("resident", 0))

    def ask(self, header: bytes, body: bytes | BinaryIO, most: int) -> dict[str, Any]:
        """Sends one file and waits for the answer, of at most `most` bytes.

        Raises:
            WireError, OSError: the process ended, or answered something else.
        """
        if isinstance(body, bytes):
            send(self.requests, header, body)
        else:
            send_file(self.requests, header, body)
        answer = from_json(receive(self.answers, most))
        self.files += 1
        self.resident = int(answer.get("resident", 0))
        return answer

    def worn(self, settings: PoolSettings) -> bool:
        """Whether it has read enough files or grown enough to be replaced."""
        return self.files >= settings.files or self.resident - self.resident_at_start > settings.growth

    def kill(self) -> None:
        """Ends it and what it started at once; safe to call from another thread and again."""
        with suppress(OSError):
            if self.process.returncode is None:
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Ends it and lets go of its pipes."""
        self.kill()
        self.process.wait()
        for stream in (self.requests, self.answers):
            with suppress(OSError):
                stream.close()


class ParserPool:
    """Parses files in confined processes. Thread-safe: a caller waits until one is free.

    The kernel kills a parser with the thread that started it, so one thread of the pool's own starts them all.
    """

    def __init__(self, limits: Limits, settings: PoolSettings | None = None, *, timeout_s: float = 120.0) -> None:
        self._limits = limits
        self._settings = settings or PoolSettings()
        self._timeout_s = timeout_s
        self._places = threading.BoundedSemaphore(self._settings.processes)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="parser-start")
        self._closed = False

    def parse(self, content: Content, *, timeout_s: float | None = None) -> Parsed:
        """The structure of a file, read in a parser process; elements are taken as they are.

        Args:
            timeout_s: seconds the file may take, absent: the pool's.

        Raises:
            ItemError: the file cannot be parsed; `parse_timeout`, `parse_memory` and `parser_crashed` are told here.
            EmptyError: it holds no text.
            UnavailableError: the pool is closed, or no parser process can be started.
        """
        if content.elements is not None:
            return parsed_from_elements(content)
        if content.body is None:
            raise EmptyError(f"'{content.name}' has no content.")
        with self._places, _opened(content, self._limits) as body:
            answer = self._ask(content, body, timeout_s or self._timeout_s)
        return _parsed(content, answer)

    def confinement(self) -> Confinement:
        """What holds the parser processes on this machine.

        Raises:
            UnavailableError: the pool is closed, or no parser process can be started.
        """
        with self._places:
            child = self._take()
            self._give_back(child)
        return child.confinement

    def close(self) -> None:
        """Ends all parser processes; safe to call again."""
        with self._lock:
            self._closed = True
            children = list(self._all)
            self._all.clear()
            self._idle.clear()
        for child in children:
            child.close()
        self._starter.shutdown()

    def __enter__(self) -> Self:
        """The pool itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the pool."""
        self.close()

    def _ask(self, content: Content, body: bytes | BinaryIO, timeout_s: float) -> dict[str, Any]:
        child = self._take()
        with _deadline(child, timeout_s) as expired:
            try:
                header = _header(content, self._limits, timeout_s)
                answer = child.ask(header, body, most=2 * self._limits.max_text)
            except (WireError, OSError):
                answer = None
        if answer is None:
            raise self._lost(child, content, timeout_s, timed_out=expired.is_set())
        self._give_back(child, ended=expired.is_set() or answer.get("error") == "parse_memory")
        return answer

    def _lost(self, child: Child, content: Content, timeout_s: float, *, timed_out: bool) -> ItemError:
        """Clears a process away that did not answer, and says why it did not."""
        self._discard(child)
        if timed_out or child.process.returncode == -24:
            return ItemError("parse_timeout", f"'{content.name}' took longer than {timeout_s:g} seconds to parse.")
        code = child.process.returncode
        return ItemError("parser_crashed", f"The parser of '{content.name}' ended with status {code}.")

    def _take(self) -> Child:
        """An idle process, or a new one; the caller holds a place."""
        with self._lock:
            if self._closed:
                raise UnavailableError("The parser pool is closed.")
            while self._idle:
                child = self._idle.pop()
                if child.process.poll() is None:
                    return child
                self._all.discard(child)
                child.close()
        return self._starter.submit(self._start).result()

    def _start(self) -> Child:
        child = Child(_spawn(self._settings))
        with _deadline(child, START_TIMEOUT_S):
            try:
                child.greet()
            except (WireError, OSError, KeyError, TypeError):
                child.close()
                raise UnavailableError("No parser process can be started.") from None
        with self._lock:
            if not self._closed:
                self._all.add(child)
                return child
        child.close()
        raise UnavailableError("The parser pool is closed.")

    def _give_back(self, child: Child, *, ended: bool = False) -> None:
        if ended or child.worn(self._settings):
            self._discard(child)
            return
        with self._lock:
            if not self._closed:
                self._idle.append(child)

    def _discard(self, child: Child) -> None:
        with self._lock:
            self._all.discard(child)
        child.close()


def _spawn(settings: PoolSettings) -> subprocess.Popen[bytes]:
    """Starts a parser with a clean environment and a session of its own, so that what it starts ends with it.

    `-P` keeps the working folder out of its import path.
    """
    command = [sys.executable, "-P", "-m", WORKER, str(os.getpid()), str(settings.memory)]
    command += map(str, settings.programs)
    return subprocess.Popen(  # noqa: S603  the interpreter itself with fixed arguments
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        close_fds=True,
        start_new_session=True,
    )


@contextmanager
def _deadline(child: Child, seconds: float) -> Iterator[threading.Event]:
    """Kills `child` after `seconds`, which ends every wait for it; the event tells that it did."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        child.kill()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _header(content: Content, limits: Limits, timeout_s: float) -> bytes:
    return to_json(
        {
            "name": content.name,
            "mime": content.mime,
            "title": content.title,
            "limits": asdict(replace(limits, seconds=timeout_s)),
            "timeout_s": timeout_s,
        }
    )


@contextmanager
def _opened(content: Content, limits: Limits) -> Iterator[bytes | BinaryIO]:
    """The bytes of a file, or the file itself, open: parsers are sent the content, as they may open nothing."""
    body = content.body or b""
    source = Source(content.name, body)
    try:
        source.check_size(limits)
        file = body.open("rb") if isinstance(body, Path) else None
    except OSError as error:
        raise broken(content.name, f"it cannot be read ({error.strerror or type(error).__name__})") from None
    if file is None:
        yield cast("bytes", body)
        return
    with file:
        yield file


def _parsed(content: Content, answer: dict[str, Any]) -> Parsed:
    """The document with what its connector says of it, or the error as it would have been raised here."""
    if "error" in answer:
        code = str(answer["error"])
        detail = str(answer.get("detail") or f"'{content.name}' needs more memory than a parser may use.")
        raise EmptyError(detail) if answer.get("empty") else ItemError(code, detail)
    try:
        parsed = load_parsed(answer["parsed"])
    except (WireError, KeyError):
        raise ItemError("parser_crashed", f"The parser of '{content.name}' gave no valid answer.") from None
    return replace(
        parsed,
        author=content.author or parsed.author,
        modified_at=content.modified_at or parsed.modified_at,
        attributes={**parsed.attributes, **content.attributes},
    )
