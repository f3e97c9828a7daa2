"""One listing of a folder tree: every folder as a node, every file as an item, in an order that can be resumed."""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from ingest.connectors.access_yaml import FILE_NAME, FolderAccess, composed, read_access
from ingest.connectors.files import is_utf8, open_folder, version_of
from ingest.connectors.folder_scan import Listing, Parts, Place, Rules, Scanner
from ingest.connectors.own import is_own
from ingest.model import Change, Checkpoint, ItemRef, JsonObject, NodeChange, Problem, Upsert
from policies.model import CLOSED, AccessSpec

CHECKPOINT_EVERY = 500


class Walk:
    """Lists the tree below an open root; one instance serves one listing.

    Folders come in the order of their names, each before what it holds, files before folders, so that a place in
    the listing is a folder and the last file sent of it.
    """

    def __init__(self, root: int, path: Path, rules: Rules, cursor: JsonObject | None) -> None:
        self._root = root
        self._path = os.path.realpath(path)
        self._uri = Path(self._path).as_uri()
        self._rules = rules
        self._scanner = Scanner(rules)
        started = cursor if cursor and cursor.get("config") == rules.config and "after" in cursor else {}
        self._after: Parts | None = _parts(started["after"]) if started else None
        self._name: str | None = started.get("name")
        self._full: bool = started.get("full", True)
        self._access: bool = started.get("access", True)
        self._sent: set[Parts] = set()
        self._count = 0

    def run(self) -> Iterator[Change]:
        """The whole listing, or the rest of it after the cursor."""
        stack = [Place((), ())]
        while stack:
            place = stack.pop()
            folders: list[Place] = []
            yield from self._folder(place, folders)
            stack.extend(reversed(folders))
        yield Checkpoint({"done": True}, complete=True, full=self._full, access_complete=self._access)

    def _folder(self, place: Place, folders: list[Place]) -> Iterator[Change]:
        """One folder's node, problems and files; fills `folders` with those to visit next, in order."""
        if place.linked:
            yield from self._chain(place.real[:-1])
        try:
            with open_folder(self._root, place.real, self._rules.own) as handle:
                listing = self._scanner.scan(handle, place)
                access = self._read(handle, place.real, listed=listing.access_listed, files=listing.files)
        except (FileNotFoundError, NotADirectoryError):
            return  # removed, or swapped for something else, since its parent was listed
        except OSError as error:
            yield from self._unreadable(place, error.strerror)
            return
        self._full = self._full and not listing.partial
        if listing.failed:
            access = replace(access, spec=CLOSED, complete=False)
        yield from self._node(place.real, access)
        yield from listing.problems
        yield from self._unmatched(place, listing, access)
        yield from self._files(place, listing, access)
        yield from self._links(place, listing, folders)
        folders += [place.below(name) for name in listing.folders]
        folders[:] = sorted((one for one in folders if self._ahead(one.shown)), key=lambda one: one.shown)
        if self._count >= CHECKPOINT_EVERY:
            yield self._checkpoint(place, None)

    def _node(self, real: Parts, access: FolderAccess) -> Iterator[Change]:
        self._access = self._access and access.complete
        if real in self._sent:
            return
        self._sent.add(real)
        self._count += 1
        spec = access.spec
        if spec is None:
            spec = AccessSpec() if real else replace(self._rules.root_access, mode="break")
        title = real[-1] if real else os.path.basename(self._path)  # noqa: PTH119 - a string all along
        yield NodeChange("/".join(real), "/".join(real[:-1]) if real else None, title, spec)
        if access.problem:
            yield access.problem

    def _chain(self, real: Parts) -> Iterator[Change]:
        """The nodes from the root to `real` that were not sent yet."""
        for depth in range(len(real) + 1):
            if real[:depth] not in self._sent:
                yield from self._node(real[:depth], self._access_at(real[:depth]))

    def _access_at(self, real: Parts) -> FolderAccess:
        try:
            with open_folder(self._root, real, self._rules.own) as handle:
                return self._read(handle, real)
        except OSError:
            return FolderAccess(CLOSED, complete=False)

    def _read(
        self,
        handle: int,
        real: Parts,
        *,
        listed: bool = False,
        files: Sequence[tuple[str, os.stat_result]] = (),
    ) -> FolderAccess:
        """The access of an open folder and of these files in it."""
        if self._rules.permissions is None:
            return read_access(handle, "/".join(real), listed=listed)
        root = None if real else replace(self._rules.root_access, mode="break")
        return self._rules.permissions.read(handle, root=root, files=files)

    def _unreadable(self, place: Place, reason: str | None) -> Iterator[Change]:
        self._full = False
        yield from self._node(place.real, FolderAccess(CLOSED, complete=False))
        name = "/".join(place.shown) or "."
        yield Problem(name, "folder_unreadable", f"{name}: {reason or 'cannot be read'}")

    def _unmatched(self, place: Place, listing: Listing, access: FolderAccess) -> Iterator[Change]:
        """Entries of `files` that name nothing here: most likely a typing mistake that leaves a file unprotected."""
        where = "/".join((*place.real, FILE_NAME))
        folders = {composed(name) for name in listing.folders}
        for name in sorted(access.files):
            if name in folders:
                text = f"{where}: files names the folder {name!r}; give it a {FILE_NAME} of its own"
            elif name not in listing.names and not listing.failed:
                text = f"{where}: files names {name!r}, which is not there"
            else:
                continue
            yield Problem(where, "access_unmatched", text)

    def _files(self, place: Place, listing: Listing, access: FolderAccess) -> Iterator[Change]:
        done = self._done_up_to(place.shown)
        for name, state in listing.files:
            if done is not None and name <= done:
                continue
            self._count += 1
            yield Upsert(self._item((*place.shown, name), (*place.real, name), state, access))
            if self._count >= CHECKPOINT_EVERY:
                yield self._checkpoint(place, name)

    def _item(self, shown: Parts, real: Parts, state: os.stat_result, access: FolderAccess) -> ItemRef:
        path = "/".join(real)
        return ItemRef(
            id="/".join(shown),
            node="/".join(real[:-1]),
            title=shown[-1],
            uri=f"{self._uri}/{quote(path)}",
            version=version_of(state),
            mime=mimetypes.guess_type(shown[-1])[0],
            size=state.st_size,
            modified_at=_instant(state.st_mtime),
            access=access.of_file(real[-1]),
            data={"path": path},
        )

    def _links(self, place: Place, listing: Listing, folders: list[Place]) -> Iterator[Change]:
        for name in listing.links:
            shown = (*place.shown, name)
            path = "/".join(shown)
            target = os.path.realpath(os.path.join(self._path, *place.real, name))  # noqa: PTH118 - strings all along
            if target != self._path and not target.startswith(self._path.rstrip("/") + "/"):
                yield Problem(path, "link_outside", f"{path}: a link that leads out of the folder")
                continue
            real = _parts(os.path.relpath(target, self._path))
            reason = self._not_followed(place, real)
            if reason:
                yield Problem(path, "link_skipped", f"{path}: {reason}")
            else:
                yield from self._follow(shown, real, folders)

    def _not_followed(self, place: Place, real: Parts) -> str | None:
        if not self._rules.follow_links:
            return "a link; what it leads to is taken where it really is"
        if place.linked:
            return "a link below a followed link"
        if place.real[: len(real)] == real:
            return "a link to a folder that holds it"
        if any(one.startswith(".") or not is_utf8(one) for one in real) or self._rules.prunes("/".join(real)):
            return "a link to what is left out"
        return None

    def _follow(self, shown: Parts, real: Parts, folders: list[Place]) -> Iterator[Change]:
        """A linked document keeps the access of its real place, or a link would be a way round it."""
        path = "/".join(shown)
        try:
            with open_folder(self._root, real[:-1], self._rules.own) as handle:
                state = os.stat(real[-1], dir_fd=handle, follow_symlinks=False)
                access = self._read(handle, real[:-1], files=[(real[-1], state)])
        except OSError as error:
            yield Problem(path, "link_skipped", f"{path}: its target cannot be read: {error.strerror}")
            return
        if stat.S_ISLNK(state.st_mode):
            yield Problem(path, "link_skipped", f"{path}: a link that leads back to itself")
        elif is_own(state, self._rules.own):
            yield Problem(path, "link_skipped", f"{path}: a link to what is left out")
        elif stat.S_ISDIR(state.st_mode):
            if not self._scanner.prunes(path, "/".join(real)):
                folders.append(Place(shown, real))
        elif self._scanner.takes(path, "/".join(real)):
            problem = self._scanner.refusal(path, state)
            if problem:
                yield problem
                return
            yield from self._chain(real[:-1])
            self._count += 1
            yield Upsert(self._item(shown, real, state, access))

    def _done_up_to(self, shown: Parts) -> str | None:
        """The last file name already sent of a folder; an impossible high one if all were."""
        if self._after is None or shown > self._after:
            return None
        return self._name if shown == self._after and self._name is not None else "\U0010ffff"

    def _ahead(self, shown: Parts) -> bool:
        """Whether a folder, or something below it, is still to be sent."""
        return self._after is None or shown >= self._after[: len(shown)]

    def _checkpoint(self, place: Place, name: str | None) -> Checkpoint:
        self._count = 0
        state: JsonObject = {"after": "/".join(place.shown), "full": self._full, "access": self._access}
        if name is not None:
            state["name"] = name
        return Checkpoint({**state, "config": self._rules.config}, full=self._full, access_complete=self._access)


def _parts(path: str) -> Parts:
    return tuple(one for one in path.split("/") if one not in ("", "."))


def _instant(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
