"""Mail kept in files: `.eml` and `.mbox` below a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ingest.connectors import files, mail_message
from ingest.connectors.mail_message import MailConfig
from ingest.connectors.own import Own
from ingest.model import (
    Change,
    Checkpoint,
    ConnectorConfig,
    ConnectorContext,
    Content,
    ItemError,
    ItemRef,
    JsonObject,
    NodeChange,
    Problem,
    SourceError,
    Upsert,
    VanishedError,
)
from policies.model import AccessSpec

CHECKPOINT_EVERY = 50
MAX_ID_BYTES = 1900


class MailFilesConfig(MailConfig):
    """A folder with mail."""

    path: str = Field(min_length=1, description="Folder with `.eml` and `.mbox` files, relative to the YAML file.")


class MailConnector:
    """Lists every mail below a folder; links are never followed."""

    name: ClassVar[str] = "mail"
    title: ClassVar[str] = "Mail files"
    summary: ClassVar[str] = "Mail in .eml and .mbox files, with attachments, read by those who took part in it."
    Config: ClassVar[type[ConnectorConfig]] = MailFilesConfig

    def __init__(self, config: MailFilesConfig, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        self._path = context.base / Path(config.path).expanduser()
        self._own = Own(context.own)

    def check(self) -> None:
        """Verifies that the folder is there and holds something.

        Raises:
            SourceError: it does not.
        """
        with self._root() as root:
            if not os.listdir(root):  # noqa: PTH208 - of a descriptor
                raise SourceError(f"folder {self._path} is empty; is its disk mounted?")

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Every mail, file after file; an unfinished cursor goes on after the file it names.

        Raises:
            SourceError: the folder is missing or empty, or cannot be read.
        """
        self.check()
        after, full = (cursor or {}).get("after", ""), (cursor or {}).get("full", True)
        yield NodeChange("", None, self._path.name, replace(self._context.root_access, mode="break"))
        count, folder = 0, ""
        names, seen = self._names()
        full = full and seen
        for name in names:
            if name <= after:
                continue
            parent = name.rpartition("/")[0]
            if parent and parent != folder:
                folder = parent
                yield NodeChange(parent, "", parent, AccessSpec())
            for change in self._file(name):
                full = full and not isinstance(change, Problem)
                count += isinstance(change, Upsert)
                yield change
            if count >= CHECKPOINT_EVERY:
                count = 0
                yield Checkpoint({"after": name, "full": full}, full=full)
        yield Checkpoint({"done": True}, complete=True, full=full)

    def fetch(self, item: ItemRef) -> Content:
        """The mail, or one attachment, as it was listed.

        Raises:
            VanishedError: its file is gone.
            EmptyError: the attachment is empty.
            ItemError: `item_changed` (transient): the file changed; `file_unreadable` (transient).
        """
        name, start, stop = item.data["file"], item.data["start"], item.data["stop"]
        try:
            with self._opened(name) as (handle, _):
                body = os.pread(handle, stop - start, start)
        except (FileNotFoundError, NotADirectoryError, files.NotAFileError):
            raise VanishedError(f"{item.id} is gone") from None
        except OSError as error:
            raise ItemError("file_unreadable", f"{item.id}: {error.strerror}", transient=True) from error
        if _digest(body) != item.version:
            raise ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
        return mail_message.content(item, body)

    def close(self) -> None:
        """Nothing is held open."""

    @contextmanager
    def _root(self) -> Iterator[int]:
        self._own.refuse(self._path)
        try:
            root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"folder {self._path} cannot be read: {error.strerror}") from error
        try:
            yield root
        finally:
            os.close(root)

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, os.stat_result]]:
        folder, _, last = name.rpartition("/")
        with (
            self._root() as root,
            files.open_folder(root, [one for one in folder.split("/") if one], self._own.identities()) as handle,
            files.open_file(handle, last, self._own.identities()) as opened,
        ):
            yield opened

    def _names(self) -> tuple[list[str], bool]:
        """Relative paths of the files with mail, sorted, and whether every folder could be read."""
        found: list[str] = []
        failed: list[OSError] = []
        for folder, folders, names in os.walk(self._path, onerror=failed.append):
            folders[:] = [one for one in folders if not one.startswith(".")]
            base = os.path.relpath(folder, self._path)
            taken = [one for one in names if one.lower().endswith((".eml", ".mbox")) and not one.startswith(".")]
            found += [one if base == "." else f"{base}/{one}" for one in taken]
        return sorted(found), not failed

    def _file(self, name: str) -> Iterator[Change]:
        shown = files.printable(name)
        if not files.is_utf8(name) or len(name.encode()) > MAX_ID_BYTES:
            yield Problem(shown[:200], "name_not_utf8", f"{shown[:200]}: the name is not UTF-8, or too long")
            return
        try:
            with self._opened(name) as (handle, _), os.fdopen(os.dup(handle), "rb") as file:
                places = list(mail_message.split_mbox(file)) if name.lower().endswith(".mbox") else None
                size = os.fstat(handle).st_size
                yield from self._mails(name, handle, places or ([(0, size)] if places is None else []))
        except FileNotFoundError:
            return
        except OSError as error:
            yield Problem(shown, "file_unreadable", f"{shown}: {error.strerror or 'a link, or no file'}")

    def _mails(self, name: str, handle: int, places: list[tuple[int, int]]) -> Iterator[Change]:
        seen: set[str] = set()
        for start, stop in places:
            if stop - start > self._context.max_bytes:
                limit = self._context.max_bytes
                yield Problem(
                    f"{name}/@{start}",
                    "file_too_large",
                    f"{name}: a mail of {stop - start} bytes; the limit is {limit}",
                )
                continue
            body = os.pread(handle, stop - start, start)
            message, digest = mail_message.parse(body), _digest(body)
            base = name if name.lower().endswith(".eml") else f"{name}/{_key(message.get('Message-ID'), digest, seen)}"
            data = {"file": name, "start": start, "stop": stop}
            for item in mail_message.items(
                base, name.rpartition("/")[0], message, self._config, version=digest, size=stop - start, data=data
            ):
                yield Upsert(item)


def _key(message_id: str | None, digest: str, seen: set[str]) -> str:
    """Names a mail in its mbox by its Message-ID; by its content where that is missing or given twice."""
    key = (
        hashlib.blake2b(str(message_id).encode("utf-8", "replace"), digest_size=8).hexdigest() if message_id else digest
    )
    if key in seen:
        key = f"{key}-{digest}"
    while key in seen:
        key += "+"
    seen.add(key)
    return key


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=16).hexdigest()
