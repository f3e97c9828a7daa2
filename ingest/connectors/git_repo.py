"""A bare copy of a repository, brought up to date and read through the `git` command."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from core.addresses import AllowList, resolve
from core.errors import AmbitError, InvalidError
from ingest.model import SourceError

HEAD = "refs/ambit/head"


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a repository comes from.

    Attributes:
        url: an address of HTTP, SSH, or a path of this machine.
        branch: the branch that is read; None: the remote's own choice.
        password: sent to an HTTP server with `user`.
    """

    url: str
    branch: str | None = None
    user: str = "git"
    password: str | None = field(default=None, repr=False)
    allow: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a commit."""

    mode: str
    blob: str
    size: int
    path: bytes


class Mirror:
    """A copy in a folder of its own, or in one that processes share; thread-safe."""

    def __init__(self, remote: Remote, folder: Path | None, timeout_s: float) -> None:
        self._remote, self._shared, self._timeout_s = remote, folder, timeout_s
        self._own: str | None = None
        self._lock = threading.Lock()
        self._ready = False

    def update(self) -> str:
        """Brings the copy up to date; the commit that the branch stands at.

        Raises:
            SourceError: `git` is missing, or the repository or branch cannot be read.
        """
        with self._lock, self._locked():
            if not (self._folder() / "HEAD").exists():
                self._git("init", "--quiet", "--bare", ".")
            source = f"refs/heads/{self._remote.branch}" if self._remote.branch else "HEAD"
            refspec = f"+{source}:{HEAD}"
            self._git(
                *self._pinned(), "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", self._remote.url, refspec
            )
            self._ready = True
        return self.head()

    def head(self) -> str:
        """The commit of the last update; the first call updates."""
        if not self._ready:
            return self.update()
        return self._git("rev-parse", HEAD).decode().strip()

    def has(self, commit: str) -> bool:
        """Whether a commit is there."""
        return self._try("cat-file", "-e", f"{commit}^{{commit}}") is not None

    def entries(self, commit: str) -> Iterator[Entry]:
        """Every file of a commit, folders' names in the order of their bytes."""
        for line in self._git("ls-tree", "-r", "-z", "-l", "--full-tree", commit).split(b"\0"):
            if line:
                head, _, path = line.partition(b"\t")
                mode, _, blob, size = head.decode().split()
                yield Entry(mode, blob, int(size) if size.isdigit() else 0, path)

    def changed(self, old: str, new: str) -> set[bytes]:
        """Paths that differ between two commits."""
        found = self._git("diff-tree", "-r", "-z", "--no-renames", "--name-only", old, new)
        return {path for path in found.split(b"\0") if path}

    def blob_at(self, path: str) -> str | None:
        """The blob at a path of the last update; None: nothing is there."""
        self.head()
        found = self._try("rev-parse", "--verify", "--quiet", f"{HEAD}:{path}")
        return found.decode().strip() if found else None

    def read(self, blob: str) -> bytes:
        """The bytes of a blob."""
        return self._git("cat-file", "blob", blob)

    def authors(self, commits: str, wanted: set[bytes]) -> dict[bytes, tuple[str, str]]:
        """Author and date of the last commit that changed each of `wanted`, as far as `commits` tells."""
        found: dict[bytes, tuple[str, str]] = {}
        command = ["log", "--no-renames", "--name-only", "-z", "--format=%x01%an%x02%aI%x03", commits]
        for record in self._git(*command).split(b"\x01")[1:]:
            head, _, names = record.partition(b"\x03")
            author, _, date = head.decode("utf-8", "replace").partition("\x02")
            for name in names.replace(b"\n", b"\0").split(b"\0"):
                if name in wanted:
                    found.setdefault(name, (author, date))
        return found

    def close(self) -> None:
        """Removes a copy of its own."""
        with self._lock:
            if self._own is not None:
                shutil.rmtree(self._own, ignore_errors=True)
            self._own, self._ready = None, False

    def _folder(self) -> Path:
        if self._shared is not None:
            self._shared.mkdir(parents=True, exist_ok=True)
            return self._shared
        if self._own is None:
            self._own = tempfile.mkdtemp(prefix="ambit-git-")
        return Path(self._own)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two processes never bring one shared copy up to date at once."""
        with (self._folder() / "ambit.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _pinned(self) -> list[str]:
        """An HTTP host is resolved and checked here, and `git` goes to no other address and no other host."""
        if not self._remote.url.startswith(("http://", "https://")):
            return []
        url = httpx.URL(self._remote.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            addresses = AllowList(self._remote.allow).check(url.host, resolve(url.host, port))
        except AmbitError as error:
            raise SourceError(error.detail) from None
        pin = f"http.curloptResolve={url.host}:{port}:{','.join(addresses)}"
        return ["-c", "http.followRedirects=false", "-c", pin]

    def _try(self, *arguments: str) -> bytes | None:
        done = self._run(arguments)
        return done.stdout if done.returncode == 0 else None

    def _git(self, *arguments: str) -> bytes:
        done = self._run(arguments)
        if done.returncode:
            raise SourceError(f"git {_verb(arguments)}: {_reason(done.stderr, self._remote)}")
        return done.stdout

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", *arguments]
        try:
            return subprocess.run(  # noqa: S603 - arguments are never a shell's, and the URL's protocol is checked
                command, cwd=self._folder(), env=_environment(self._remote), capture_output=True, check=False,
                timeout=self._timeout_s, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError:
            raise SourceError("the command git is not installed") from None
        except subprocess.TimeoutExpired:
            raise SourceError(f"git {_verb(arguments)} took longer than {self._timeout_s:.0f} s") from None


def _verb(arguments: Sequence[str]) -> str:
    plain = [one for place, one in enumerate(arguments) if one != "-c" and arguments[place - 1 : place] != ["-c"]]
    return next((one for one in plain if not one.startswith("http.")), "")


def _environment(remote: Remote) -> dict[str, str]:
    """No settings of this machine, no prompt, only known protocols; a password is never on a command line."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SSH_AUTH_SOCK", "TMPDIR") if name in os.environ}
    made = {
        **kept,
        "GIT_ALLOW_PROTOCOL": "file:http:https:ssh",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    if remote.password is not None:
        basic = base64.b64encode(f"{remote.user}:{remote.password}".encode()).decode()
        made |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
    return made


def _reason(stderr: bytes, remote: Remote) -> str:
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "failed")
    return said.replace(remote.url, "the repository")[:300]


def checked_remote(url: str) -> str:
    """`url` if `git` may be given it.

    Raises:
        InvalidError: it names a protocol that runs programs, holds a password, or looks like an option.
    """
    scheme, mark, rest = url.partition("://")
    if mark and scheme not in ("http", "https", "ssh"):
        raise InvalidError(f"config.url: {scheme}:// is not read; write https://, ssh:// or a path")
    if mark and "@" in rest.partition("/")[0] and (scheme != "ssh" or ":" in rest.partition("@")[0]):
        raise InvalidError("config.url: holds a user name or password; write token: {secret: NAME}")
    if not url or url.startswith("-") or "::" in url.partition("/")[0] or any(ord(one) < 32 for one in url):
        raise InvalidError("config.url: is no address or path of a repository")
    return url
