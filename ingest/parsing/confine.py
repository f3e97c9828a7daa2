"""What a parser process gives up before it reads a file: files, network, other processes, memory without end.

Each layer holds by itself, and the kernel may lack some: Landlock leaves the interpreter's own files to read and none
to write, seccomp refuses sockets, programs and changes of files, an empty network namespace has nothing to reach,
limits bound the rest. What is in force is told to the owner.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import struct
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ingest.parsing import landlock, seccomp

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
OPEN_FILES = 64
"""Files a parser may hold open."""

_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_SYSTEM_FILES = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/ld.so.preload"),
    *("/usr/share/zoneinfo", "/usr/share/fonts", "/usr/share/mime", "/etc/localtime", "/etc/mime.types"),
    *("/etc/fonts", "/proc/self/statm", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)


@dataclass(frozen=True, slots=True)
class Confinement:
    """Which layers hold a parser process.

    Attributes:
        files: version of Landlock's interface; 0: none, and the process may read what its account may.
        calls: whether seccomp refuses sockets, programs and changes of files.
        namespace: whether it stands in an empty network namespace.
    """

    files: int = 0
    calls: bool = False
    namespace: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The layers that this machine does not give, in words."""
        network = self.calls or self.namespace or self.files >= 4
        parts = {
            "Landlock (files)": self.files > 0,
            "seccomp (system calls)": self.calls,
            "a cut from the network by the kernel": network,
        }
        return tuple(name for name, there in parts.items() if not there)


def confine(owner: int, programs: Sequence[Path] = ()) -> Confinement:
    """Applies everything that holds from the start; to be called while the process has one thread.

    Args:
        owner: process id of the owner; when it is gone already, this process ends.
        programs: what the parser may start; none of them where Landlock is missing, which alone can tell them apart.
    """
    namespace = _leave_network()
    socket.socket = _NoSocket  # type: ignore[misc]  # the last hold where the kernel gives none
    socket.create_connection = _refuse
    _limit_resources()
    tempfile.tempdir = os.sep  # else libraries that merely ask for its name fail, as the answer is found by writing
    _give_up_privileges()
    _die_with(owner)
    if not sys.platform.startswith("linux"):
        return Confinement()
    helpers = tuple(Path(os.path.realpath(one)) for one in programs)
    files = landlock.restrict(
        read=[*_own_files(), *_data_of(helpers)], run=(*helpers, *_loaders(helpers)), write=map(Path, _DEVICES)
    )
    return Confinement(files, seccomp.refuse_calls(programs=bool(helpers and files)), namespace)


def _own_files() -> Iterator[Path]:
    """The interpreter's library, installed packages, our own packages, and what the C library needs."""
    yield from map(Path, _SYSTEM_FILES)
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield Path(sysconfig.get_path(name))
    yield Path(sys.base_prefix) / "lib"
    root = Path(__file__).parents[2]
    loaded = {name.partition(".")[0] for name in sys.modules}
    yield from (root / name for name in sorted(loaded) if (root / name / "__init__.py").is_file())


def _data_of(programs: Sequence[Path]) -> Iterator[Path]:
    """What `tesseract` reads: its trained data, and the folder itself to list them."""
    if programs:
        yield from map(Path, ("/usr/share/tesseract-ocr", "/usr/share/tessdata", "/usr/local/share/tessdata"))
        if named := os.environ.get("TESSDATA_PREFIX"):
            yield Path(named)


def _loaders(programs: Sequence[Path]) -> Iterator[Path]:
    """The dynamic loader, which the kernel starts for a program; it is confined like its parent."""
    if programs:
        for folder in ("/lib64", "/lib", "/usr/lib"):
            yield from (Path(os.path.realpath(one)) for one in Path(folder).glob("ld-linux*.so*"))
            yield from (Path(os.path.realpath(one)) for one in Path(folder).glob("*-linux-gnu/ld-linux*.so*"))


def _limit_resources() -> None:
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(kind, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _leave_network() -> bool:
    """Moves into an empty network namespace; in containers that forbid it, says so."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return any(libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def _give_up_privileges() -> None:
    """Drops every capability, so that limits cannot be raised again, not by root either; none can be gained."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24))


def _die_with(owner: int) -> None:
    """Asks the kernel to kill this process with the thread that started it."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
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
