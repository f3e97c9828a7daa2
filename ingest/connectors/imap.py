"""Mail of an IMAP mailbox, read by those who took part in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field

from ingest.connectors import mail_message
from ingest.connectors.http import secret_value
from ingest.connectors.imap_client import Mailbox, MailTooLargeError, Server
from ingest.connectors.mail_message import MailConfig
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
    NodeChange,
    Problem,
    SourceError,
    Upsert,
    VanishedError,
)
from ingest.permissions import access_only
from policies.model import AccessSpec

CHECKPOINT_EVERY = 200


class ImapConfig(MailConfig):
    """A mailbox and the folders of it that are read."""

    host: str = Field(min_length=1, description="The server.")
    port: int = Field(993, ge=1, le=65535, description="Its port.")
    tls: Literal["tls", "starttls", "none"] = Field("tls", description="How the connection is encrypted.")
    user: str = Field(min_length=1, description="Whom to sign in as.")
    password: SecretRef = Field(description="Their password.")
    folders: list[str] = Field(["INBOX"], min_length=1, description="Folders, as the server names them.")
    since_days: int | None = Field(None, ge=1, description="Only mail of so many days; absent: all.")
    timeout_s: float = Field(60.0, gt=0, le=600, description="Seconds that the server may take to answer.")

    @property
    def fingerprint(self) -> str:
        """Changes when what is read does; a cursor of another configuration starts over."""
        shape = self.model_dump_json(exclude={"password", "timeout_s", "port", "tls"})
        return hashlib.blake2b(shape.encode(), digest_size=8).hexdigest()


class ImapConnector:
    """A mail never changes, so each is read once, and only what came and went is sent afterwards."""

    name: ClassVar[str] = "imap"
    title: ClassVar[str] = "IMAP mailbox"
    summary: ClassVar[str] = "Mail of an IMAP mailbox, with attachments, read by those who took part in it."
    Config: ClassVar[type[ConnectorConfig]] = ImapConfig

    def __init__(self, config: ImapConfig, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        password = secret_value(config.password, context, "config.password")
        self._mailbox = Mailbox(
            Server(config.host, config.port, config.tls, config.user, password, config.timeout_s, context.outbound)
        )

    def check(self) -> None:
        """Signs in and opens each folder.

        Raises:
            SourceError: the server does not answer, or refuses.
        """
        for folder in self._config.folders:
            self._mailbox.uids(folder, None)

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Mail that came since `cursor`, and deletions of what went; everything without one.

        Raises:
            SourceError: as of `check`.
        """
        fits = cursor is not None and cursor.get("config") == self._config.fingerprint
        state: JsonObject = cursor if fits and cursor else {"folders": {}, "full": True}
        full = state.get("full", False)
        known = {folder: dict(one) for folder, one in state["folders"].items()}
        yield NodeChange("", None, self._config.user, replace(self._context.root_access, mode="break"))
        for folder in self._config.folders:
            yield NodeChange(folder, "", folder, AccessSpec())
            for change in self._folder(folder, known):
                yield change if change is not None else Checkpoint(self._cursor(known, full=full), full=full)
        yield Checkpoint(self._cursor(known, full=False), complete=True, full=full)

    def permissions(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Who reads the mail that came since `cursor`; who reads an earlier one never changes.

        Raises:
            SourceError: as of `changes`.
        """
        yield from access_only(self.changes(cursor))

    def fetch(self, item: ItemRef) -> Content:
        """The mail, or one attachment.

        Raises:
            VanishedError: it is gone.
            EmptyError: the attachment is empty.
            ItemError: `server_failed` (transient); `file_too_large`.
        """
        folder, validity, uid = item.data["folder"], item.data["validity"], item.data["uid"]
        try:
            now, body = self._mailbox.read(folder, uid, self._context.max_bytes)
        except SourceError as error:
            raise ItemError("server_failed", f"{item.id}: {error.detail}", transient=True) from None
        except MailTooLargeError as error:
            raise ItemError("file_too_large", f"{item.id}: {error.size} bytes") from None
        if body is None or now != validity:
            raise VanishedError(f"{item.id} is gone")
        return mail_message.content(item, body)

    def close(self) -> None:
        """Signs out."""
        self._mailbox.close()

    def _cursor(self, known: dict[str, Any], *, full: bool) -> JsonObject:
        folders = {folder: {**one, "mails": dict(one["mails"])} for folder, one in known.items()}
        return {"config": self._config.fingerprint, "folders": folders, **({"full": True} if full else {})}

    def _folder(self, folder: str, known: dict[str, Any]) -> Iterator[Change | None]:
        """What came and went; None where a checkpoint may stand. `mails` holds each one's number of attachments."""
        since = None
        if self._config.since_days:
            since = _imap_date(datetime.now(UTC) - timedelta(days=self._config.since_days))
        validity, uids = self._mailbox.uids(folder, since)
        old = known.get(folder, {"validity": validity, "mails": {}})
        # Another UIDVALIDITY means that every mail has a new number: none of the old ones is there any more.
        kept = {str(uid) for uid in uids} if old["validity"] == validity else set()
        for uid, parts in old["mails"].items():
            if uid not in kept:
                yield from map(Delete, _ids(folder, old["validity"], uid, parts))
        mails = {uid: parts for uid, parts in old["mails"].items() if uid in kept}
        known[folder] = {"validity": validity, "mails": mails}
        for count, uid in enumerate((one for one in uids if str(one) not in mails), start=1):
            yield from self._mail(folder, validity, uid, mails)
            if count % CHECKPOINT_EVERY == 0:
                yield None

    def _mail(self, folder: str, validity: int, uid: int, mails: dict[str, int]) -> Iterator[Change]:
        base = _ids(folder, validity, str(uid), 0)[0]
        try:
            _, body = self._mailbox.read(folder, uid, self._context.max_bytes)
        except MailTooLargeError as error:
            limit = self._context.max_bytes
            yield Problem(base, "file_too_large", f"{base}: {error.size} bytes; the limit is {limit}")
            return
        if body is None:
            return
        data = {"folder": folder, "validity": validity, "uid": uid}
        found = list(
            mail_message.items(
                base,
                folder,
                mail_message.parse(body),
                self._config,
                version=f"{validity}-{uid}",
                size=len(body),
                data=data,
            )
        )
        mails[str(uid)] = len(found) - 1
        yield from map(Upsert, found)


def _ids(folder: str, validity: int, uid: str, parts: int) -> list[str]:
    base = f"{folder}/{validity}/{uid}"
    return [base, *(f"{base}/{number}" for number in range(1, parts + 1))]


def _imap_date(moment: datetime) -> str:
    """As IMAP writes a day, whatever the locale: `2-Jan-2026`."""
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return f"{moment.day}-{months[moment.month - 1]}-{moment.year}"
