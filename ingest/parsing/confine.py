"""What a parser process gives up before it reads a file: network, disk writes, memory without end, its owner's life."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
OPEN_FILES = 64
"""Files a parser may hold open."""


def confine(owner: int) -> str:
    """Applies everything that holds from the start; returns how the network is cut: `namespace` or `patched`.

    Args:
        owner: process id of the owner; when it is gone already, this process ends.
    """
    network = "namespace" if _leave_network() else "patched"
    socket.socket = _NoSocket  # type: ignore[misc]  # the last hold where the kernel gives no namespace
    socket.create_connection = _refuse
    _die_with(owner)
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(kind, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    tempfile.tempdir = os.sep  # else libraries that merely ask for its name fail, as the answer is found by writing
    return network


def _leave_network() -> bool:
    """Moves into an empty network namespace; in containers that forbid it, says so."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return any(libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def _die_with(owner: int) -> None:
    """Asks the kernel to kill this process with the thread that started it, and forbids gaining privileges."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != owner:
        os._exit(0)


class _NoSocket(socket.socket):
    """A socket that cannot be made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse()


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise PermissionError("A parser process has no network.")


def limit_memory(extra: int) -> None:
    """Allows `extra` bytes of address space above what the process has now; never more than before."""
    if not sys.platform.startswith("linux"):
        return
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def limit_cpu(seconds: float) -> None:
    """Allows `seconds` of processor time from now on; the owner's clock usually comes first."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(usage.ru_utime + usage.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def resident() -> int:
    """Bytes of memory that this process holds now; 0 where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return 0
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
