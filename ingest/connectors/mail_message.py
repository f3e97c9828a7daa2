"""One mail: who took part in it, what is attached, and the items it becomes."""

from __future__ import annotations

import email
import mimetypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Literal, TypeAlias

from pydantic import Field

from ingest.model import ConnectorConfig, Content, EmptyError, ItemRef, JsonObject
from policies.model import AccessSpec, access_spec

Mail: TypeAlias = "Message[str, str]"
MOST_ATTACHMENTS = 50
MOST_PEOPLE = 2000
_ADDRESS = re.compile(r"[^\s:@,;<>]{1,64}@[a-z0-9.-]{1,190}")


class MailConfig(ConnectorConfig):
    """What sources of mail have in common."""

    readers: Literal["participants", "source"] = Field(
        "participants",
        description="`participants`: only sender and recipients read a mail; `source`: whoever reads the source.",
    )
    domains: list[str] = Field([], description="Only addresses of these domains become readers; absent: all.")
    attachments: bool = Field(default=True, description="Also read attachments, each as a document beside its mail.")


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attached file; `number` counts from 1."""

    number: int
    name: str
    mime: str
    part: Mail


def parse(body: bytes) -> Mail:
    """The mail that `body` holds; `compat32`, since the newer policy takes gigabytes for some hostile headers."""
    return email.message_from_bytes(body)


def header(message: Mail, name: str) -> str:
    """A header on one line, decoded as far as it can be."""
    value = message.get(name)
    if value is None:
        return ""
    try:
        text = str(make_header(decode_header(str(value))))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        text = str(value)
    return " ".join(text.encode("utf-8", "replace").decode().split())


def sent_at(message: Mail) -> datetime | None:
    """When it says it was sent."""
    try:
        moment = parsedate_to_datetime(str(message.get("Date", "")))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def access(message: Mail, config: MailConfig) -> AccessSpec | None:
    """Sender and recipients, nobody else; None: the source's readers."""
    if config.readers == "source":
        return None
    fields = [str(value) for name in ("From", "To", "Cc", "Bcc") for value in message.get_all(name, [])]
    found = {address.strip().lower() for _, address in getaddresses(fields)[:MOST_PEOPLE]}
    allowed = {one.lower().lstrip("@") for one in config.domains}
    people = sorted(
        one for one in found if _ADDRESS.fullmatch(one) and (not allowed or one.partition("@")[2] in allowed)
    )
    return access_spec([f"user:{one}" for one in people], mode="break")


def attachments(message: Mail) -> list[Attachment]:
    """The attached files, in order, so many at most."""
    parts = [part for part in message.walk() if not part.is_multipart() and _attached(part)]
    return [
        Attachment(number, _name(part, number), part.get_content_type(), part)
        for number, part in enumerate(parts[:MOST_ATTACHMENTS], start=1)
    ]


def items(
    base: str, node: str, message: Mail, config: MailConfig, *, version: str, size: int, data: JsonObject
) -> Iterator[ItemRef]:
    """The mail, then its attachments, all with the same readers."""
    spec, title, date = access(message, config), header(message, "Subject") or "(no subject)", sent_at(message)
    uri = f"mid:{header(message, 'Message-ID').strip('<>')}" if message.get("Message-ID") else f"mail:{base}"
    yield ItemRef(base, node, title[:500], uri, version, "message/rfc822", size, date, spec, data)
    for one in attachments(message) if config.attachments else []:
        yield ItemRef(
            f"{base}/{one.number}", node, f"{one.name} ({title[:300]})", uri, version, one.mime, None, date, spec,
            {**data, "part": one.number},
        )  # fmt: skip


def content(item: ItemRef, body: bytes) -> Content:
    """What an item holds: the whole mail, or one attachment.

    Raises:
        EmptyError: the attachment holds nothing.
    """
    number = item.data.get("part")
    if number is None:
        return Content(f"{item.title[:100]}.eml", body=body, mime="message/rfc822", title=item.title)
    one = next((each for each in attachments(parse(body)) if each.number == number), None)
    data = one.part.get_payload(decode=True) if one else None
    if one is None or not isinstance(data, bytes) or not data:
        raise EmptyError(f"{item.id}: the attachment is empty")
    mime = mimetypes.guess_type(one.name)[0] if one.mime == "application/octet-stream" else one.mime
    return Content(
        one.name, body=data, mime=mime, modified_at=item.modified_at, author=header(parse(body), "From") or None
    )


def split_mbox(lines: Sequence[bytes] | Iterator[bytes]) -> Iterator[tuple[int, int]]:
    """Start and end of each mail in an mbox file, without its `From ` line."""
    start, place, blank = -1, 0, True
    for line in lines:
        if blank and line.startswith(b"From "):
            if start >= 0:
                yield start, place
            start = place + len(line)
        blank = line in (b"\n", b"\r\n")
        place += len(line)
    if start >= 0:
        yield start, place


def _attached(part: Mail) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _name(part: Mail, number: int) -> str:
    raw = part.get_filename() or f"attachment-{number}"
    try:
        text = str(make_header(decode_header(raw)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        text = raw
    safe = "".join(one if one.isprintable() and one not in "/\\" else "_" for one in text)
    return safe.encode("utf-8", "replace").decode()[:200] or f"attachment-{number}"
