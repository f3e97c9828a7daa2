"""A connection to an IMAP server (RFC 3501) that only reads, to an address that was checked."""

from __future__ import annotations

import base64
import imaplib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from core.addresses import AllowList, resolve
from core.errors import AmbitError
from ingest.model import SourceError

T = TypeVar("T")
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the mailbox is; `allow` lists what may be reached although it is not public."""

    host: str
    port: int
    tls: Literal["tls", "starttls", "none"]
    user: str
    password: str = field(repr=False)
    timeout_s: float = 60.0
    allow: Sequence[str] = ()


class _Pinned(imaplib.IMAP4):
    """Connects to an address that was checked, and holds the certificate against the name that was asked for."""

    def __init__(self, server: Server, address: str) -> None:
        self._server, self._address = server, address
        super().__init__(server.host, server.port, timeout=server.timeout_s)

    def _create_socket(self, timeout: float | None) -> Any:
        plain = socket.create_connection((self._address, self._server.port), timeout)
        if self._server.tls != "tls":
            return plain
        return ssl.create_default_context().wrap_socket(plain, server_hostname=self._server.host)


class Mailbox:
    """One signed-in connection; calls from several threads take turns, and a lost connection is made again once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._connection: _Pinned | None = None
        self._selected: tuple[str, int] | None = None

    def uids(self, folder: str, since: str | None) -> tuple[int, list[int]]:
        """The folder's UIDVALIDITY and its mails' UIDs in order; `since`: only those from that IMAP date on.

        Raises:
            SourceError: the server does not answer, or refuses.
        """

        def ask(connection: _Pinned) -> tuple[int, list[int]]:
            validity = self._select(connection, folder)
            found = _checked(connection.uid("SEARCH", *(["SINCE", since] if since else ["ALL"])), "SEARCH")
            return validity, sorted(int(one) for one in (found[0] or b"").split())

        return self._do(ask)

    def read(self, folder: str, uid: int, limit: int) -> tuple[int, bytes | None]:
        """The folder's UIDVALIDITY and a mail; None where it is gone.

        Raises:
            SourceError: as of `uids`.
            MailTooLargeError: it is above `limit` bytes.
        """

        def ask(connection: _Pinned) -> tuple[int, bytes | None]:
            validity = self._select(connection, folder)
            head = _checked(connection.uid("FETCH", str(uid), "(RFC822.SIZE)"), "FETCH")
            size = _SIZE.search(head[0] or b"")
            if size is None:
                return validity, None
            if int(size[1]) > limit:
                raise MailTooLargeError(int(size[1]))
            for part in _checked(connection.uid("FETCH", str(uid), "(BODY.PEEK[])"), "FETCH"):
                if isinstance(part, tuple):
                    return validity, bytes(part[1])
            return validity, None

        return self._do(ask)

    def close(self) -> None:
        """Signs out."""
        with self._lock:
            self._drop()

    def _do(self, ask: Callable[[_Pinned], T]) -> T:
        with self._lock:
            for last in (False, True):
                try:
                    return ask(self._open())
                except (OSError, imaplib.IMAP4.abort) as error:
                    self._drop()
                    if last:
                        raise SourceError(f"{self._server.host}: {type(error).__name__}") from None
                except imaplib.IMAP4.error as error:
                    raise SourceError(f"{self._server.host}: {_said(error, self._server)}") from None
        raise AssertionError("the second try returns or raises")

    def _open(self) -> _Pinned:
        if self._connection is None:
            server = self._server
            try:
                addresses = AllowList(server.allow).check(server.host, resolve(server.host, server.port))
            except AmbitError as error:
                raise SourceError(error.detail) from None
            self._connection, self._selected = _Pinned(server, addresses[0]), None
            self._sign_in(self._connection)
        return self._connection

    def _sign_in(self, connection: _Pinned) -> None:
        try:
            if self._server.tls == "starttls":
                connection.starttls(ssl.create_default_context())
            connection.login(self._server.user, self._server.password)
        except (OSError, imaplib.IMAP4.error):
            self._drop()
            raise

    def _select(self, connection: _Pinned, folder: str) -> int:
        if self._selected is None or self._selected[0] != folder:
            self._selected = None
            # Read-only: reading marks nothing as seen.
            _checked(connection.select(quoted(folder), readonly=True), f"folder {folder!r}")
            validity = connection.response("UIDVALIDITY")[1][0]
            self._selected = (folder, int(validity or 0))
        else:
            connection.noop()
        return self._selected[1]

    def _drop(self) -> None:
        connection, self._connection, self._selected = self._connection, None, None
        if connection is not None:
            with suppress(OSError, imaplib.IMAP4.error):
                connection.logout()
            with suppress(OSError):
                connection.shutdown()


class MailTooLargeError(Exception):
    """A mail is above the limit; `size` in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def quoted(folder: str) -> str:
    """A folder's name as IMAP writes it: quoted, other than ASCII in its modified UTF-7 (RFC 3501, 5.1.3)."""
    parts = re.split(r"([^\x20-\x7e]+)", folder)
    text = "".join(one.replace("&", "&-") if place % 2 == 0 else _shifted(one) for place, one in enumerate(parts))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shifted(text: str) -> str:
    return "&" + base64.b64encode(text.encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"


def _checked(answer: tuple[str, list[Any]], what: str) -> list[Any]:
    status, data = answer
    if status != "OK":
        raise imaplib.IMAP4.error(f"{what} was refused")
    return data


def _said(error: Exception, server: Server) -> str:
    text = str(error).removeprefix("b'").rstrip("'")[:200]
    return text.replace(server.password, "…") if server.password else text
