"""Opens what stands below a folder without ever following a link, and reads it whole or not at all.

Every path is opened one component at a time from a descriptor of the root, so that a folder or file that is swapped
for a link after it was listed leads nowhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ingest.connectors.own import Identity, is_own

NOTHING: frozenset[Identity] = frozenset()
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LINK = errno.ELOOP
"""The `errno` of opening a symbolic link."""
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ChangedError(OSError):
    """A file changed while it was read."""


class OversizeError(OSError):
    """A file holds more bytes than may be read."""


class NotAFileError(OSError):
    """A folder, pipe, device or socket stands where a file should."""


@contextmanager
def open_folder(root: int, parts: Iterable[str], own: frozenset[Identity] = NOTHING) -> Iterator[int]:
    """A descriptor of the folder that `parts` lead to from the folder `root`; `own` are as if they were not there.

    Raises:
        OSError: a part is missing, is no folder, is a link, or may not be opened.
    """
    here = os.dup(root)
    try:
        for part in parts:
            below = os.open(part, _DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
            _refuse_own(os.fstat(here), own)
        yield here
    finally:
        os.close(here)


@contextmanager
def open_file(folder: int, name: str, own: frozenset[Identity] = NOTHING) -> Iterator[tuple[int, os.stat_result]]:
    """A descriptor of the regular file `name` in `folder`, with its state at opening; one of `own` is not opened.

    Raises:
        NotAFileError: it is something else.
        OSError: it is missing, is a link, or may not be opened.
    """
    if own:
        _refuse_own(os.stat(name, dir_fd=folder, follow_symlinks=False), own)
    # Without O_NONBLOCK a pipe in the file's place would hang the open until somebody writes to it.
    handle = os.open(name, _FILE, dir_fd=folder)
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise NotAFileError(f"{printable(name)} is not a file")
        yield handle, state
    finally:
        os.close(handle)


def _refuse_own(state: os.stat_result, own: frozenset[Identity]) -> None:
    if is_own(state, own):
        raise FileNotFoundError(errno.ENOENT, "this installation's own")


def blocks(handle: int, state: os.stat_result, limit: int) -> Iterator[bytes]:
    """The bytes of an open file in pieces; ends without an error only if the file is as `state` says throughout.

    Raises:
        OversizeError: it holds more than `limit` bytes.
        ChangedError: it is not what it was at opening.
    """
    total = 0
    while block := os.read(handle, 1 << 20):
        total += len(block)
        if total > limit:
            raise OversizeError(f"more than {limit} bytes")
        yield block
    if version_of(os.fstat(handle)) != version_of(state) or total != state.st_size:
        raise ChangedError("changed while it was read")


def read_small(folder: int, name: str, limit: int) -> bytes:
    """All bytes of a file of at most `limit` bytes.

    Raises:
        OSError: as of `open_file` and `blocks`.
    """
    with open_file(folder, name) as (handle, state):
        return b"".join(blocks(handle, state, limit))


def version_of(state: os.stat_result) -> str:
    """Changes whenever a file is written or replaced."""
    return f"{state.st_mtime_ns}-{state.st_size}-{state.st_ino}"


def printable(name: str) -> str:
    """A name with what is not UTF-8, or would break a line, written as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def is_utf8(name: str) -> bool:
    """Whether a name from the file system is text."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
