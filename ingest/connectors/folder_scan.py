"""Reads one folder: which names it holds, what they are, and which of them cannot be taken."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ingest.connectors.access_yaml import FILE_NAME, composed
from ingest.connectors.files import NOTHING, is_utf8, printable
from ingest.connectors.own import Identity, is_own
from ingest.connectors.posix import Permissions
from ingest.model import Problem
from policies.model import AccessSpec

MAX_ID_BYTES = 2000
Parts: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to list: where it is shown, and where it really is, which differs below a followed link."""

    shown: Parts
    real: Parts

    @property
    def linked(self) -> bool:
        """Whether it was reached through a link."""
        return self.shown != self.real

    def below(self, name: str) -> Place:
        """The folder `name` in it."""
        return Place((*self.shown, name), (*self.real, name))


@dataclass(slots=True)
class Listing:
    """The names found in one folder, by what they are.

    Attributes:
        names: every visible name, in composed form.
        access_listed: whether an access file was among them.
        failed: the folder could not be read to its end.
        partial: something in it could not be seen, so that its absence means nothing.
    """

    files: list[tuple[str, os.stat_result]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    access_listed: bool = False
    failed: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What a walk takes.

    Attributes:
        takes: whether a file with this relative path is wanted.
        prunes: whether a folder with this relative path is left out with all it holds.
        config: fingerprint of the configuration; a cursor of another one starts over.
        permissions: reads the file system's own permissions; None: access is read from access files.
        own: what is the installation's own, which is passed over.
    """

    takes: Callable[[str], bool]
    prunes: Callable[[str], bool]
    follow_links: bool
    max_bytes: int
    root_access: AccessSpec
    config: str
    permissions: Permissions | None = None
    own: frozenset[Identity] = NOTHING


class Scanner:
    """Reads folders as `rules` say."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def scan(self, handle: int, place: Place) -> Listing:
        """What the folder with descriptor `handle` holds, names in order; never raises."""
        found = Listing()
        try:
            with os.scandir(handle) as entries:
                for entry in sorted(entries, key=lambda one: one.name):
                    self._sort(entry, place, found)
        except OSError as error:
            found.failed = found.partial = True
            name = "/".join(place.shown) or "."
            found.problems.append(Problem(name, "folder_unreadable", f"{name}: {error.strerror}"))
        return found

    def _sort(self, entry: os.DirEntry[str], place: Place, found: Listing) -> None:
        """Puts one name where it belongs."""
        if entry.name.startswith("."):
            _hidden(entry.name, place, found)
            return
        path = "/".join((*place.shown, printable(entry.name)))
        if not is_utf8(entry.name):
            found.problems.append(Problem(path, "name_not_utf8", f"{path}: the name is not UTF-8; rename it"))
            return
        found.names.add(composed(entry.name))
        path, real = "/".join((*place.shown, entry.name)), "/".join((*place.real, entry.name))
        if len(path.encode()) > MAX_ID_BYTES:
            short = printable(path[:200])
            found.problems.append(Problem(path[:200], "path_too_long", f"{short}…: more than {MAX_ID_BYTES} bytes"))
        elif entry.is_symlink():
            found.links.append(entry.name)
        elif entry.is_dir(follow_symlinks=False):
            if not self.prunes(path, real):
                found.folders.append(entry.name)
        elif self.takes(path, real):
            self._stat(entry, path, found)

    def _stat(self, entry: os.DirEntry[str], path: str, found: Listing) -> None:
        try:
            state = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return  # removed since the folder was read: as if it had never been listed
        except OSError as error:
            found.partial = True
            found.problems.append(Problem(path, "file_unreadable", f"{path}: {error.strerror}"))
            return
        problem = self.refusal(path, state)
        if problem:
            found.problems.append(problem)
        elif not is_own(state, self._rules.own):
            found.files.append((entry.name, state))

    def refusal(self, path: str, state: os.stat_result) -> Problem | None:
        """Why the file shown at `path` cannot be taken, if so."""
        if not stat.S_ISREG(state.st_mode):
            return Problem(path, "not_a_file", f"{path}: a pipe, device or socket")
        limit = self._rules.max_bytes
        if state.st_size > limit:
            return Problem(path, "file_too_large", f"{path}: {state.st_size} bytes; the limit is {limit}")
        return None

    def takes(self, shown: str, real: str) -> bool:
        """Whether a file is wanted; below a link both of its paths must be."""
        return self._rules.takes(shown) and (shown == real or self._rules.takes(real))

    def prunes(self, shown: str, real: str) -> bool:
        """Whether a folder is left out under either of its paths."""
        return self._rules.prunes(shown) or self._rules.prunes(real)


def _hidden(name: str, place: Place, found: Listing) -> None:
    if name == FILE_NAME:
        found.access_listed = True
    elif name.lower() in (FILE_NAME, ".access.yml"):
        path = "/".join((*place.shown, printable(name)))
        found.problems.append(Problem(path, "access_unmatched", f"{path}: not read; its name must be {FILE_NAME}"))
