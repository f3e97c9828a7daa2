"""One listing of a commit: folders as nodes, files as items, access from the tree itself or from rules."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from ingest.connectors.access_yaml import FILE_NAME, MAX_BYTES, AccessFileError, FolderAccess, composed, parse_file
from ingest.connectors.files import printable
from ingest.connectors.git_owners import PLACES, Owners, parse_owners
from ingest.connectors.git_repo import Entry
from ingest.model import Change, ItemRef, NodeChange, Problem
from policies.model import CLOSED, AccessSpec

MAX_ID_BYTES = 2000
OWNERS_BYTES = 1024 * 1024
_REGULAR = ("100644", "100755")
Read: TypeAlias = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a listing makes of a tree.

    Attributes:
        rules: the access of a path; None: access is read from `.access.yaml` files.
        uri: what stands before a path in its URI.
    """

    takes: Callable[[str], bool]
    rules: Callable[[str], AccessSpec | None] | None
    owners: bool
    root_access: AccessSpec
    title: str
    uri: str
    max_bytes: int


class Tree:
    """The files of one commit with the access that governs them."""

    def __init__(self, entries: Iterator[Entry], read: Read, shape: Shape) -> None:
        self._shape = shape
        self.problems: list[Problem] = []
        self._names: dict[str, set[str]] = {}
        self.files: dict[str, Entry] = {}
        access: dict[str, Entry] = {}
        owners: dict[str, Entry] = {}
        for entry in entries:
            self._sort(entry, access, owners)
        self._access = {} if shape.rules else {key: self._folder(key, one, read) for key, one in access.items()}
        self._owners = _owners(owners, read) if shape.owners else Owners()
        self.problems += self._unmatched()

    def nodes(self) -> Iterator[Change]:
        """The root and every folder that holds something, or states access, parents first."""
        folders = {"", *self._access}
        for path in [*self.files, *(f"{key}/x" for key in self._access)]:
            parts = path.split("/")[:-1]
            folders.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        for key in sorted(folders, key=lambda one: one.split("/") if one else []):
            yield self._node(key)

    def item(self, path: str, last: tuple[str, str] | None) -> ItemRef:
        """A file as an item; `last`: author and date of its last change."""
        entry = self.files[path]
        folder, _, name = path.rpartition("/")
        author, date = last or ("", "")
        return ItemRef(
            id=path,
            node=folder,
            title=name,
            uri=f"{self._shape.uri}{path}",
            version=entry.blob,
            mime=mimetypes.guess_type(name)[0],
            size=entry.size,
            modified_at=datetime.fromisoformat(date) if date else None,
            access=self._own(path, folder, name),
            data={"blob": entry.blob, **({"author": author} if author else {})},
        )

    def _sort(self, entry: Entry, access: dict[str, Entry], owners: dict[str, Entry]) -> None:
        try:
            path = entry.path.decode()
        except UnicodeDecodeError:
            path = printable(entry.path.decode("utf-8", "surrogateescape"))
            self.problems.append(Problem(path, "name_not_utf8", f"{path}: the name is not UTF-8; rename it"))
            return
        folder, _, name = path.rpartition("/")
        self._names.setdefault(folder, set()).add(composed(name))
        if name == FILE_NAME:
            access[folder] = entry
        if path in PLACES and entry.mode in _REGULAR:
            owners[path] = entry
        hidden = any(part.startswith(".") for part in path.split("/"))
        if hidden or entry.mode not in _REGULAR or not self._shape.takes(path):
            return
        if len(path.encode()) > MAX_ID_BYTES:
            short = path[:200]
            self.problems.append(
                Problem(short, "path_too_long", f"{printable(short)}…: more than {MAX_ID_BYTES} bytes")
            )
        elif entry.size > self._shape.max_bytes:
            limit = self._shape.max_bytes
            self.problems.append(Problem(path, "file_too_large", f"{path}: {entry.size} bytes; the limit is {limit}"))
        else:
            self.files[path] = entry

    def _folder(self, key: str, entry: Entry, read: Read) -> FolderAccess:
        """What is not understood closes the folder and all below it."""
        try:
            if entry.mode not in _REGULAR:
                raise AccessFileError("not a file")
            if entry.size > MAX_BYTES:
                raise AccessFileError(f"larger than {MAX_BYTES} bytes")
            return parse_file(read(entry.blob))
        except AccessFileError as error:
            name = f"{key}/{FILE_NAME}" if key else FILE_NAME
            where = f"line {error.line}: " if error.line else ""
            self.problems.append(Problem(name, "access_unreadable", f"{name}: {where}{error.reason}"))
            return FolderAccess(CLOSED)

    def _unmatched(self) -> list[Problem]:
        """Entries of `files` that name nothing: most likely a typing mistake that leaves a file unprotected."""
        found = []
        for key, access in self._access.items():
            for name in sorted(set(access.files) - self._names.get(key, set())):
                where = f"{key}/{FILE_NAME}" if key else FILE_NAME
                found.append(Problem(where, "access_unmatched", f"{where}: files names {name!r}, which is not there"))
        return found

    def _node(self, key: str) -> NodeChange:
        spec = self._access[key].spec if key in self._access else None
        if spec is None:
            spec = AccessSpec() if key else replace(self._shape.root_access, mode="break")
        title = key.rpartition("/")[2] if key else self._shape.title
        return NodeChange(key, key.rpartition("/")[0] if key else None, title, spec)

    def _own(self, path: str, folder: str, name: str) -> AccessSpec | None:
        if self._shape.rules is not None:
            spec = self._shape.rules(path)
        else:
            spec = self._access[folder].of_file(name) if folder in self._access else None
        owners = self._owners.of(path)
        if not owners:
            return spec
        spec = spec or AccessSpec()
        return replace(spec, labels={"owners": owners, **spec.labels})


def _owners(found: Mapping[str, Entry], read: Read) -> Owners:
    entry = next((found[place] for place in PLACES if place in found), None)
    if entry is None or entry.size > OWNERS_BYTES:
        return Owners()
    return parse_owners(read(entry.blob).decode("utf-8", "replace"))
