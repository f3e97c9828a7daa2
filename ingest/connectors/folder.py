"""A folder of files, with the access that its `.access.yaml` files state."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from core.errors import InvalidError
from ingest.connectors import files
from ingest.connectors.folder_scan import Rules
from ingest.connectors.folder_walk import Walk
from ingest.connectors.globs import check_glob, matches
from ingest.connectors.own import Own
from ingest.connectors.posix import Permissions, PosixMapping
from ingest.model import (
    Change,
    ConnectorConfig,
    ConnectorContext,
    Content,
    ItemError,
    ItemRef,
    JsonObject,
    SourceError,
    VanishedError,
)

IN_MEMORY_BYTES = 8 * 1024 * 1024


class FolderConfig(ConnectorConfig):
    """Which folder, and which of its files."""

    path: str = Field(min_length=1, description="The folder; relative to the YAML file that registers the source.")
    include: list[str] = Field(["**/*"], description="Patterns of the relative paths that are taken.")
    exclude: list[str] = Field([], description="Patterns of files and folders that are left out.")
    follow_links: bool = Field(
        default=False, description="Follow symbolic links that stay inside the folder; never out of it."
    )
    access: Literal["yaml", "posix"] = Field(
        "yaml",
        description="Where access is read from: `.access.yaml` files, or the file system's own permissions (owner, "
        "group, other, and POSIX ACLs), mapped by `posix`.",
    )
    posix: PosixMapping = Field(PosixMapping(), description="Who the owners and groups are, with `access: posix`.")

    @field_validator("include", "exclude")
    @classmethod
    def _globs(cls, value: list[str]) -> list[str]:
        return [check_glob(one) for one in value]


class SpoolPath(PosixPath):
    """A private copy of a large file; it is removed when nothing refers to this object any more."""


class FolderConnector:
    """Lists a folder tree and reads its files, never through a symbolic link."""

    name: ClassVar[str] = "folder"
    title: ClassVar[str] = "Folder"
    summary: ClassVar[str] = (
        "Files below a folder of this machine, with access from .access.yaml files or POSIX permissions."
    )
    Config: ClassVar[type[ConnectorConfig]] = FolderConfig

    def __init__(self, config: FolderConfig, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        self._path = context.base / Path(config.path).expanduser()
        self._own = Own(context.own)
        self._spool: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Verifies that the folder is there and holds something.

        Raises:
            SourceError: it is not, or cannot be read.
        """
        with self._root():
            pass

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Every folder and file; an unfinished cursor resumes after what it names, a finished one lists again.

        Raises:
            SourceError: the folder is missing, is not a folder, is empty, or cannot be read.
        """
        with self._root() as root:
            yield from Walk(root, self._path, self._rules(), cursor).run()

    def fetch(self, item: ItemRef) -> Content:
        """The bytes of the file as it was listed; above 8 MiB a private copy that lives as long as its path object.

        Raises:
            VanishedError: it is gone, or something else stands in its place.
            ItemError: `item_changed` (transient): it is not the one listed, and its access may have changed too;
                `file_too_large`; `file_unreadable`.
        """
        folder, name = _split(item)
        try:
            with self._root() as root, files.open_folder(root, folder, self._own.identities()) as handle:
                body = self._read(handle, name, item)
        except (FileNotFoundError, NotADirectoryError):
            raise VanishedError(f"{item.id} is gone") from None
        except OSError as error:
            raise _failure(item, error, self._context.max_bytes) from error
        return Content(
            name=name,
            body=body,
            mime=item.mime or mimetypes.guess_type(name)[0],
            modified_at=item.modified_at,
            attributes={"path": "/".join(folder)},
        )

    def close(self) -> None:
        """Removes private copies."""
        with self._lock:
            if self._spool is not None:
                self._spool.cleanup()
                self._spool = None

    def _read(self, folder: int, name: str, item: ItemRef) -> bytes | Path:
        with files.open_file(folder, name, self._own.identities()) as (handle, state):
            if state.st_size > self._context.max_bytes:
                raise files.OversizeError
            if item.version is not None and files.version_of(state) != item.version:
                raise files.ChangedError
            pieces = files.blocks(handle, state, self._context.max_bytes)
            if state.st_size <= IN_MEMORY_BYTES:
                return b"".join(pieces)
            return self._copy(pieces, name)

    def _copy(self, pieces: Iterator[bytes], name: str) -> Path:
        """A later reader of the file's own path could be led through a link; a private copy cannot be swapped."""
        handle, copy = tempfile.mkstemp(suffix=Path(name).suffix, dir=self._spool_folder())
        path = SpoolPath(copy)
        weakref.finalize(path, _unlink, copy)
        with os.fdopen(handle, "wb") as out:
            for piece in pieces:
                out.write(piece)
        return path

    def _spool_folder(self) -> str:
        with self._lock:
            if self._spool is None:
                self._spool = tempfile.TemporaryDirectory(prefix="ambit-folder-", ignore_cleanup_errors=True)
            return self._spool.name

    def _rules(self) -> Rules:
        config = self._config
        return Rules(
            takes=lambda path: matches(path, config.include) and not matches(path, config.exclude),
            prunes=lambda path: matches(path, config.exclude),
            follow_links=config.follow_links,
            max_bytes=self._context.max_bytes,
            root_access=self._context.root_access,
            permissions=Permissions(config.posix) if config.access == "posix" else None,
            own=self._own.identities(),
            config=hashlib.sha256(f"{self._path}\0{config.model_dump_json()}".encode()).hexdigest()[:16],
        )

    @contextmanager
    def _root(self) -> Iterator[int]:
        """A descriptor of the root. An empty one is refused: most likely a disk is not mounted."""
        self._own.refuse(self._path)
        try:
            root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"folder {self._path} cannot be read: {error.strerror}") from error
        try:
            _refuse_empty(root, self._path)
            yield root
        finally:
            os.close(root)


def _refuse_empty(root: int, path: Path) -> None:
    try:
        with os.scandir(root) as entries:
            if next(entries, None) is not None:
                return
    except OSError as error:
        raise SourceError(f"folder {path} cannot be read: {error.strerror}") from error
    raise SourceError(f"folder {path} is empty; is its disk mounted?")


def _split(item: ItemRef) -> tuple[list[str], str]:
    path = item.data.get("path", item.id)
    parts = path.split("/") if isinstance(path, str) else []
    if not parts or any(one in ("", ".", "..") or "\0" in one for one in parts):
        raise InvalidError(f"{item.id!r} is no path of a file below the folder")
    return parts[:-1], parts[-1]


def _failure(item: ItemRef, error: OSError, limit: int) -> ItemError:
    if isinstance(error, files.OversizeError):
        return ItemError("file_too_large", f"{item.id} has grown above the limit of {limit} bytes")
    if isinstance(error, files.ChangedError):
        return ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
    if isinstance(error, files.NotAFileError) or error.errno == files.LINK:
        return VanishedError(f"{item.id} is no file any more")
    return ItemError("file_unreadable", f"{item.id} cannot be read: {error.strerror}", transient=True)


def _unlink(path: str) -> None:
    Path(path).unlink(missing_ok=True)
