"""Objects of a bucket, or files of any other store that fsspec knows, with access by path."""

from __future__ import annotations

import hashlib
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import Field, field_validator

from core.errors import InvalidError
from ingest.connectors.globs import matches
from ingest.connectors.http import secret_value
from ingest.connectors.own import Own
from ingest.connectors.rules import AccessRule, Glob, access_of
from ingest.connectors.secret_ref import SecretRef
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

CHECKPOINT_EVERY = 500
MAX_ID_BYTES = 2000
_REFUSED = frozenset(
    {"http", "https", "ftp", "git", "github", "reference", "data", "zip", "tar", "filecache", "simplecache"}
)


class FsspecConfig(ConnectorConfig):
    """A place in a store and what is read of it."""

    url: str = Field(pattern=r"^[a-z0-9]+://", description="`s3://bucket/prefix`, or of another protocol of fsspec.")
    options: dict[str, str | int | bool | SecretRef] = Field(
        {}, description="What the protocol's file system is given (`key`, `secret`, `endpoint_url`, …)."
    )
    include: list[Glob] = Field(["**/*"], description="Patterns of the paths below `url` that are taken.")
    exclude: list[Glob] = Field([], description="Patterns of objects and folders that are left out.")
    rules: list[AccessRule] = Field([], description="Access by path below `url`; the last rule that matches holds.")

    @field_validator("url")
    @classmethod
    def _plain(cls, value: str) -> str:
        protocol = value.partition("://")[0]
        if protocol in _REFUSED or "::" in value or "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError(f"{protocol}:// is not read so; name one store, without a password")
        return value.rstrip("/")

    @property
    def fingerprint(self) -> str:
        """Changes when what is read does; a cursor of another configuration starts over."""
        shape = self.model_dump_json(include={"url", "include", "exclude"})
        return hashlib.blake2b(shape.encode(), digest_size=8).hexdigest()


class FsspecConnector:
    """Lists folder after folder and reads single objects."""

    name: ClassVar[str] = "fsspec"
    title: ClassVar[str] = "Object store"
    summary: ClassVar[str] = "Objects of S3 or another store that fsspec knows, with access by bucket and prefix."
    Config: ClassVar[type[ConnectorConfig]] = FsspecConfig

    def __init__(self, config: FsspecConfig, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        self._options = {
            key: secret_value(value, context, f"config.options.{key}") if isinstance(value, (str, SecretRef)) else value
            for key, value in config.options.items()
        }
        self._lock = threading.Lock()
        self._made: tuple[Any, str] | None = None

    def check(self) -> None:
        """Lists the top folder.

        Raises:
            SourceError: the store does not answer, refuses, or holds nothing there.
        """
        if not self._list(""):
            raise SourceError(f"{self._config.url} holds nothing; is the prefix right?")

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Every folder and object; an unfinished cursor goes on after the folder it names.

        Raises:
            SourceError: as of `check`.
        """
        self.check()
        state = cursor if cursor and cursor.get("config") == self._config.fingerprint else {}
        after = state["after"].split("/") if "after" in state else None
        title = self._config.url.rpartition("/")[2] or self._config.url
        yield NodeChange("", None, title, replace(self._context.root_access, mode="break"))
        count, stack = 0, [""]
        while stack:
            folder = stack.pop()
            entries = self._list(folder)
            stack += sorted(
                (path for path, one in entries.items() if self._enters(path, one)), reverse=True, key=_parts
            )
            if folder:
                yield NodeChange(folder, folder.rpartition("/")[0], folder.rpartition("/")[2], AccessSpec())
            if after is not None and _parts(folder) <= after:
                continue
            for change in self._objects(folder, entries):
                count += 1
                yield change
            if count >= CHECKPOINT_EVERY and stack:
                count = 0
                yield Checkpoint({"after": folder, "config": self._config.fingerprint})
        yield Checkpoint({"done": True}, complete=True)

    def fetch(self, item: ItemRef) -> Content:
        """The object as it was listed.

        Raises:
            VanishedError: it is gone.
            ItemError: `item_changed` (transient): it is not the one listed; `file_too_large`; `file_unreadable`.
        """
        try:
            with self._store() as (store, root):
                path = f"{root}/{item.id}"
                self._expect(item, store.info(path))
                body = store.cat_file(path)
                self._expect(item, store.info(path))
        except FileNotFoundError:
            raise VanishedError(f"{item.id} is gone") from None
        except SourceError as error:
            raise ItemError("file_unreadable", f"{item.id}: {error.detail}", transient=True) from error
        name = item.id.rpartition("/")[2]
        return Content(name, body=body, mime=item.mime, modified_at=item.modified_at)

    def close(self) -> None:
        """Nothing is held open."""

    def _expect(self, item: ItemRef, info: dict[str, Any]) -> None:
        if _version(info) != item.version:
            raise ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
        if int(info.get("size") or 0) > self._context.max_bytes:
            raise ItemError(
                "file_too_large", f"{item.id}: {info['size']} bytes; the limit is {self._context.max_bytes}"
            )

    def _list(self, folder: str) -> dict[str, dict[str, Any]]:
        """What stands in a folder, by path below the root."""
        with self._store() as (store, root):
            place = f"{root}/{folder}" if folder else root
            try:
                found = store.ls(place, detail=True)
            except FileNotFoundError:
                raise SourceError(f"{self._config.url}: {folder or 'it'} is not there") from None
        named = {str(one["name"]).strip("/").removeprefix(root.strip("/")).strip("/"): one for one in found}
        return {path: one for path, one in sorted(named.items()) if path and path != folder}

    def _enters(self, path: str, info: dict[str, Any]) -> bool:
        hidden = path.rpartition("/")[2].startswith(".")
        return info["type"] == "directory" and not hidden and not matches(path, self._config.exclude)

    def _objects(self, folder: str, entries: dict[str, dict[str, Any]]) -> Iterator[Change]:
        config = self._config
        for path, info in entries.items():
            name = path.rpartition("/")[2]
            if info["type"] != "file" or name.startswith(".") or not matches(path, config.include):
                continue
            if matches(path, config.exclude):
                continue
            if len(path.encode("utf-8", "replace")) > MAX_ID_BYTES:
                yield Problem(path[:200], "path_too_long", f"{path[:200]}…: more than {MAX_ID_BYTES} bytes")
            elif int(info.get("size") or 0) > self._context.max_bytes:
                limit = self._context.max_bytes
                yield Problem(path, "file_too_large", f"{path}: {info['size']} bytes; the limit is {limit}")
            else:
                yield Upsert(self._item(folder, path, info))

    def _item(self, folder: str, path: str, info: dict[str, Any]) -> ItemRef:
        name = path.rpartition("/")[2]
        return ItemRef(
            id=path,
            node=folder,
            title=name,
            uri=f"{self._config.url}/{quote(path)}",
            version=_version(info),
            mime=mimetypes.guess_type(name)[0],
            size=info.get("size"),
            modified_at=_changed(info),
            access=access_of(path, self._config.rules),
        )

    def _refuse_own(self, store: Any, root: Any) -> None:
        """A store on this machine must neither be nor hold what is the installation's own."""
        kinds = (store.protocol,) if isinstance(store.protocol, str) else tuple(store.protocol)
        if {"file", "local"} & set(kinds):
            Own(self._context.own).refuse_around(Path(str(root)))

    @contextmanager
    def _store(self) -> Iterator[tuple[Any, str]]:
        """The file system and the path of the root in it; whatever its library raises is one error of ours."""
        try:
            with self._lock:
                if self._made is None:
                    from fsspec.core import url_to_fs  # heavy, and an extra

                    made = url_to_fs(
                        self._config.url, skip_instance_cache=True, use_listings_cache=False, **self._options
                    )
                    self._refuse_own(*made)
                    self._made = (made[0], str(made[1]).rstrip("/"))
            yield self._made
        except (FileNotFoundError, ItemError, SourceError):
            raise
        except ImportError as error:
            raise InvalidError(
                f"{self._config.url.partition('://')[0]}:// needs {error.name}; install ambit[objects]"
            ) from None
        except Exception as error:  # noqa: BLE001 - each store's library has errors of its own, which may hold keys
            raise SourceError(f"{self._config.url}: {type(error).__name__}") from None


def _parts(path: str) -> list[str]:
    return path.split("/")


def _version(info: dict[str, Any]) -> str | None:
    """The store's own tag, else time and size; None where it tells neither."""
    tag = next((info[key] for key in ("VersionId", "ETag", "etag", "md5Hash", "generation") if info.get(key)), None)
    if tag is not None:
        return str(tag).strip('"')
    moment = _changed(info)
    return None if moment is None else f"{moment.isoformat()}-{info.get('size')}"


def _changed(info: dict[str, Any]) -> datetime | None:
    moment = next((info[key] for key in ("LastModified", "last_modified", "mtime", "created") if info.get(key)), None)
    if isinstance(moment, (int, float)):
        return datetime.fromtimestamp(moment, UTC)
    if isinstance(moment, datetime):
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
