"""The files and ports that a parser process may reach: Landlock, by its three system calls.

A process keeps the descriptors it has, so what it is sent over its pipes needs no rule.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights by the version of the interface that brought them: all that can be done to a file or a folder."""
_NETWORK_RIGHTS = 0b11
"""Binding and connecting TCP, from version 4 on."""
_SCOPES = 0b11
"""Abstract sockets and signals of other processes, from version 6 on."""


def version() -> int:
    """The version of the interface that this kernel has; 0: none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, int(_syscall(_CREATE_RULESET, None, 0, _VERSION)))


def restrict(*, read: Iterable[Path], run: Iterable[Path] = (), write: Iterable[Path] = ()) -> int:
    """Leaves this thread, and those it starts, these files and folders and no port; returns `version()`.

    `no_new_privs` must be set before. Paths that are not there are passed over.

    Args:
        read: files, and folders with all below them, that may be read.
        run: programs that may be started, and read.
        write: files that may be written and read.
    """
    known = version()
    if known == 0:
        return 0
    handled = sum(rights for since, rights in _FILE_RIGHTS.items() if since <= known)
    rules = _ruleset(known, handled)
    if rules < 0:
        return 0
    try:
        for rights, paths in ((_READ_FILE | _READ_DIR, read), (_READ_FILE | _EXECUTE, run)):
            _allow(rules, paths, rights)
        _allow(rules, write, (_READ_FILE | _WRITE_FILE))
        return known if int(_syscall(_RESTRICT_SELF, rules, 0)) == 0 else 0
    finally:
        os.close(rules)


def _ruleset(known: int, handled: int) -> int:
    fields = [handled]
    if known >= 4:
        fields.append(_NETWORK_RIGHTS)
    if known >= 6:
        fields.append(_SCOPES)
    described = struct.pack(f"={len(fields)}Q", *fields)
    return int(_syscall(_CREATE_RULESET, described, len(described), 0))


def _allow(rules: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        with suppress(OSError):
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                wanted = rights if path.is_dir() else rights & ~_READ_DIR
                _syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", wanted, descriptor), 0)
            finally:
                os.close(descriptor)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return int(libc.syscall(ctypes.c_long(number), *wide))
