"""Files of a Git repository's branch, with access from its tree or from rules, and owners as labels."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ingest.connectors.access_yaml import FILE_NAME
from ingest.connectors.git_owners import PLACES
from ingest.connectors.git_repo import Mirror, Remote, checked_remote
from ingest.connectors.git_tree import Shape, Tree
from ingest.connectors.globs import matches
from ingest.connectors.http import secret_value
from ingest.connectors.rules import AccessRule, Glob, access_of
from ingest.connectors.secret_ref import SecretRef
from ingest.model import (
    Change,
    Checkpoint,
    ConnectorConfig,
    ConnectorContext,
    Content,
    Delete,
    ItemError,
    ItemRef,
    JsonObject,
    SourceError,
    Upsert,
    VanishedError,
)
from ingest.permissions import access_only

CHECKPOINT_EVERY = 500
_LFS = b"version https://git-lfs.github.com/spec/"


class GitConfig(ConnectorConfig):
    """Which repository, and which of its files."""

    url: str | SecretRef = Field(
        repr=False, description="`https://…`, `ssh://…`, a path relative to the YAML file, or a secret that holds it."
    )
    branch: str | None = Field(
        None, pattern=r"^[^-\s:~^?*\[\\][^\s:~^?*\[\\]*$", description="Branch; absent: its own choice."
    )
    token: SecretRef | None = Field(None, description="Password or token for HTTPS.")
    user: str = Field("git", min_length=1, description="User name that goes with the token.")
    include: list[Glob] = Field(["**/*"], description="Patterns of the paths that are taken.")
    exclude: list[Glob] = Field([], description="Patterns of the paths that are left out.")
    access: Literal["files", "rules"] = Field(
        "files", description="`files`: from `.access.yaml` in the tree; `rules`: from `rules`, whatever the tree says."
    )
    rules: list[AccessRule] = Field([], description="Access by path; the last rule that matches holds.")
    codeowners: bool = Field(default=True, description="Give each file the label `owners` from CODEOWNERS.")
    history: bool = Field(default=True, description="Take author and date from the last commit that changed a file.")
    web: str | None = Field(None, description="What stands before a path in links; absent: the repository's URL.")
    cache: str | None = Field(None, description="Folder for a copy that processes share; absent: each has its own.")
    timeout_s: float = Field(600.0, gt=0, le=86_400, description="Seconds that one `git` command may take.")

    @model_validator(mode="after")
    def _agrees(self) -> GitConfig:
        if self.rules and self.access == "files":
            raise ValueError("rules are given, but access is `files`; write access: rules")
        return self

    @property
    def fingerprint(self) -> str:
        """Changes when a listing of the same commit would; a cursor of another configuration lists all."""
        shape = self.model_dump_json(exclude={"timeout_s", "cache", "token", "user"})
        return hashlib.blake2b(shape.encode(), digest_size=8).hexdigest()


class GitConnector:
    """Lists a whole commit first, and from then on what the commits since have changed."""

    name: ClassVar[str] = "git"
    title: ClassVar[str] = "Git repository"
    summary: ClassVar[str] = "Files of a branch, with access from .access.yaml or rules and owners from CODEOWNERS."
    Config: ClassVar[type[ConnectorConfig]] = GitConfig

    def __init__(self, config: GitConfig, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        url = checked_remote(secret_value(config.url, context, "config.url"))
        local = "://" not in url and ":" not in url.partition("/")[0]
        self._url = str((context.base / Path(url).expanduser()).absolute()) if local else url
        password = secret_value(config.token, context, "config.token") if config.token else None
        remote = Remote(self._url, config.branch, config.user, password, context.outbound)
        cache = context.base / Path(config.cache).expanduser() if config.cache else None
        self._mirror = Mirror(remote, cache, config.timeout_s)

    def check(self) -> None:
        """Brings the branch here.

        Raises:
            SourceError: it cannot be read; the message says what `git` said.
        """
        self._mirror.update()

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Every folder, and the files that changed since `cursor`, or all where that cannot be told.

        All files are listed again when an access file or CODEOWNERS changed, or history was rewritten.

        Raises:
            SourceError: the repository cannot be read.
        """
        state = cursor if cursor and cursor.get("config") == self._config.fingerprint else {}
        commit = self._mirror.update()
        resumed = "after" in state and self._mirror.has(state["commit"])
        if resumed:
            commit = state["commit"]
        tree = self._tree(commit)
        since = state.get("since" if "after" in state else "commit")
        changed = self._changed(since, commit)
        yield from tree.nodes()
        yield from tree.problems
        yield from self._files(tree, commit, since if changed is not None else None, changed, state if resumed else {})

    def permissions(self, cursor: JsonObject | None) -> Iterator[Change]:
        """The access of what the commits since `cursor` changed; of all files where they changed access.

        Raises:
            SourceError: as of `changes`.
        """
        yield from access_only(self.changes(cursor))

    def fetch(self, item: ItemRef) -> Content:
        """The file as it was listed, if the branch still holds it so.

        Raises:
            VanishedError: it is gone.
            ItemError: `item_changed` (transient): the branch has moved on, and its access may have with it;
                `lfs_pointer`; `file_unreadable` (transient).
        """
        try:
            blob = self._mirror.blob_at(item.id)
            if blob is None:
                raise VanishedError(f"{item.id} is gone")
            if blob != item.version:
                raise ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
            body = self._mirror.read(blob)
        except SourceError as error:
            raise ItemError("file_unreadable", f"{item.id}: {error.detail}", transient=True) from error
        if body.startswith(_LFS):
            raise ItemError("lfs_pointer", f"{item.id}: its content is in Git LFS, not in the repository")
        name = item.id.rpartition("/")[2]
        return Content(
            name=name,
            body=body,
            mime=item.mime or mimetypes.guess_type(name)[0],
            author=item.data.get("author"),
            modified_at=item.modified_at,
            attributes={"path": item.id.rpartition("/")[0]},
        )

    def close(self) -> None:
        """Removes the copy, unless it is shared."""
        self._mirror.close()

    def _tree(self, commit: str) -> Tree:
        config = self._config
        rules = (lambda path: access_of(path, config.rules)) if config.access == "rules" else None
        base = config.web or f"{self._url.removesuffix('.git')}/"
        shape = Shape(
            takes=lambda path: matches(path, config.include) and not matches(path, config.exclude),
            rules=rules,
            owners=config.codeowners,
            root_access=self._context.root_access,
            title=self._url.rstrip("/").rpartition("/")[2].removesuffix(".git") or "Repository",
            uri=base if "://" in base else f"file://{base}",
            max_bytes=self._context.max_bytes,
        )
        return Tree(self._mirror.entries(commit), self._mirror.read, shape)

    def _changed(self, since: str | None, commit: str) -> set[str] | None:
        """The paths to send; None: all of them."""
        if since is None or not self._mirror.has(since):
            return None
        paths = {path.decode("utf-8", "replace") for path in self._mirror.changed(since, commit)}
        stated = any(path.rpartition("/")[2] == FILE_NAME or path in PLACES for path in paths)
        return None if stated else paths

    def _files(
        self, tree: Tree, commit: str, since: str | None, changed: set[str] | None, state: JsonObject
    ) -> Iterator[Change]:
        full = changed is None
        paths = sorted(tree.files if changed is None else changed)
        if "after" in state:
            paths = [path for path in paths if path > state["after"]]
        authors = self._authors(commit if full else f"{since}..{commit}", paths)
        base = {"commit": commit, "config": self._config.fingerprint}
        for number, path in enumerate(paths, start=1):
            if path in tree.files:
                yield Upsert(tree.item(path, authors.get(path.encode())))
            else:
                yield Delete(path)
            if number % CHECKPOINT_EVERY == 0 and number < len(paths):
                yield Checkpoint({**base, "after": path, **({"since": since} if since else {})}, full=full)
        yield Checkpoint(base, complete=True, full=full)

    def _authors(self, commits: str, paths: list[str]) -> dict[bytes, tuple[str, str]]:
        return self._mirror.authors(commits, {path.encode() for path in paths}) if self._config.history else {}
