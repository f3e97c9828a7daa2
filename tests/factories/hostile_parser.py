"""A parser that has been taken over: the real parser process, in which each file is an order to do harm.

The file is JSON, `{"do": NAME, ...}`; its one element says what came of it. `HOSTILE_WITHOUT` names layers of the
confinement that this kernel is to lack.
"""

from __future__ import annotations

import _socket
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingest.model import Content, Element, Parsed
from ingest.parsing import confine, landlock, seccomp, worker
from ingest.parsing.limits import Limits

Order = dict[str, Any]
LIBC = ctypes.CDLL(None, use_errno=True)
SYS_SOCKET, SYS_FORK, SYS_CLONE3, SYS_TGKILL = 41, 57, 435, 234


def read(order: Order) -> Any:
    return Path(order["path"]).read_bytes()[:20].decode("utf-8", "replace")


def listing(order: Order) -> Any:
    return list(Path(order["path"]).iterdir())


def connect(order: Order) -> Any:
    """`_socket` is what the patched `socket.socket` is built on."""
    family = _socket.AF_UNIX if "path" in order else _socket.AF_INET
    made = _socket.socket(family, _socket.SOCK_STREAM)
    made.settimeout(2)
    made.connect(order.get("path") or ("127.0.0.1", order["port"]))
    return "connected"


def datagram(order: Order) -> Any:
    made = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    return made.sendto(b"secret", ("127.0.0.1", order["port"]))


def raw_socket(order: Order) -> Any:
    return checked(LIBC.syscall(SYS_SOCKET, 2, 1, 0))


def write(order: Order) -> Any:
    return Path(order["path"]).write_text("overwritten")


def append(order: Order) -> Any:
    with Path(order["path"]).open("ab", buffering=0) as file:
        return file.write(b"appended")


def cut(order: Order) -> Any:
    return os.truncate(order["path"], 0)


def remove(order: Order) -> Any:
    return Path(order["path"]).unlink()


def rename(order: Order) -> Any:
    return Path(order["path"]).rename(order["path"] + ".gone")


def link(order: Order) -> Any:
    return os.link(order["path"], order["path"] + ".link")


def mode(order: Order) -> Any:
    return Path(order["path"]).chmod(0)


def run(order: Order) -> Any:
    return subprocess.run(order["command"], capture_output=True, check=False).stdout.decode()


def become(order: Order) -> Any:
    return os.execv(order["command"][0], order["command"])


def fork(order: Order) -> Any:
    """A bomb: every process that comes of it goes on."""
    while True:
        os.fork()


def raw_fork(order: Order) -> Any:
    return checked(LIBC.syscall(SYS_FORK))


def threads(order: Order) -> Any:
    stop = threading.Event()
    while True:
        threading.Thread(target=stop.wait, daemon=True).start()


def kill_owner(order: Order) -> Any:
    return os.kill(os.getppid(), signal.SIGKILL)


def raw_kill_owner(order: Order) -> Any:
    return checked(LIBC.syscall(SYS_TGKILL, os.getppid(), os.getppid(), 9))


def outlive(order: Order) -> Any:
    return checked(LIBC.prctl(1, 0, 0, 0, 0))


def unlimit(order: Order) -> Any:
    most = resource.RLIM_INFINITY
    return resource.setrlimit(resource.RLIMIT_AS, (most, most))


def allocate(order: Order) -> Any:
    held = []
    while True:
        held.append(bytearray(1 << 20))


def spin(order: Order) -> Any:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass


def crash(order: Order) -> Any:
    return ctypes.string_at(0)


def garble(order: Order) -> Any:
    """Answers of its own making on every descriptor that is open."""
    frame = order["frame"].encode("latin-1")
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, frame)
        except OSError:
            continue
    return os._exit(0)


def flood(order: Order) -> Any:
    """An answer that never ends."""
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, (1 << 29).to_bytes(8, "big"))
            while True:
                os.write(descriptor, bytes(1 << 16))
        except OSError:
            continue
    return None


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


ORDERS: dict[str, Callable[[Order], Any]] = {
    one.__name__: one
    for one in (
        *(read, listing, connect, datagram, raw_socket, write, append, cut, remove, rename, link, mode, run, become),
        *(fork, raw_fork, threads, kill_owner, raw_kill_owner, outlive, unlimit, allocate, spin, crash, garble, flood),
    )
}


def parse(content: Content, _: Limits) -> Parsed:
    assert isinstance(content.body, bytes)
    order = json.loads(content.body)
    try:
        outcome = f"done: {ORDERS[order['do']](order)!r}"
    except (OSError, RuntimeError, ValueError) as error:
        outcome = f"refused: {type(error).__name__}"
    return Parsed("title", (Element("text", outcome),), "text/plain")


def main() -> None:
    missing = os.environ.get("HOSTILE_WITHOUT", "").split()
    if "landlock" in missing:
        landlock.version = lambda: 0  # type: ignore[assignment]
    if "seccomp" in missing:
        seccomp.refuse_calls = lambda **_: False  # type: ignore[assignment]
    if "namespace" in missing:
        confine._leave_network = lambda: False  # type: ignore[assignment]
    worker.parse = parse  # type: ignore[attr-defined]
    worker.main(int(sys.argv[1]), int(sys.argv[2]), [Path(one) for one in sys.argv[3:]])


if __name__ == "__main__":
    main()
