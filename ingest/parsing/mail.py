"""Mail: `.eml` by the standard library, which knows every transfer encoding and charset that mail has.

The older `compat32` policy is meant: the newer one takes gigabytes for a header of 20,000 encoded words.
`unstructured.partition_email` wraps the same parser and drops the sender and the date from the text.
"""

from __future__ import annotations

import email
import re
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from ingest.parsing.clean import decode, inline
from ingest.parsing.draft import Draft
from ingest.parsing.source import Source
from ingest.parsing.text import PARAGRAPHS
from ingest.parsing.thread import EARLIER, divided, unquoted
from ingest.parsing.web import fill_from_html

Mail: TypeAlias = "Message[str, str]"

_HEADERS = ("Subject", "From", "To", "Cc", "Date")
_MAIL_ID = re.compile(r"<([^<>\s]{1,250})>")
ATTACHMENTS_MAX = 50
"""Attachments that are named; mail may carry thousands of parts."""


def parse_eml(source: Source, draft: Draft) -> None:
    """Fills `draft` from a mail: its headers as text, then its body; attachments are named, not opened."""
    message = email.message_from_bytes(source.read())
    headers = {name: text for name in _HEADERS if (text := _decoded(message.get(name)))}
    draft.author = headers.get("From")
    draft.modified_at = _date(headers.get("Date", ""))
    draft.text("\n".join(f"{name}: {text}" for name, text in headers.items()))
    _fill_body(message, draft)
    _note_attachments(message, draft)
    draft.title = headers.get("Subject", "")
    if thread := _thread(message):
        draft.attributes["thread"] = thread


def _decoded(header: object) -> str:
    """A header on one line, its encoded words read; as it stands where they are broken."""
    if header is None:
        return ""
    try:
        parts = decode_header(str(header))
    except HeaderParseError:
        return inline(str(header))
    return inline("".join(decode(text, name) if isinstance(text, bytes) else text for text, name in parts))


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _fill_body(message: Mail, draft: Draft) -> None:
    for part in _bodies(message):
        data = part.get_payload(decode=True)
        text = decode(data, part.get_content_charset()) if isinstance(data, bytes) else ""
        if part.get_content_type() == "text/html":
            _fill_html(text, draft)
        else:
            _fill_plain(text.replace("\r\n", "\n").strip(), draft)


def _fill_plain(text: str, draft: Draft) -> None:
    """The mail's own text; below it each mail that it quotes, under a heading that says who wrote it."""
    own, earlier = unquoted(text)
    for paragraph in PARAGRAPHS.split(own):
        draft.text(paragraph)
    for one in earlier:
        draft.heading(f"{EARLIER}: {one.told}" if one.told else EARLIER)
        for paragraph in PARAGRAPHS.split(one.text):
            draft.text(paragraph)


def _fill_html(text: str, draft: Draft) -> None:
    """As of `_fill_plain`; lists and tables stay what they are."""
    start = len(draft.elements)
    depths = fill_from_html(text, draft)
    draft.elements[start:] = divided(draft.elements[start:], depths)


def _thread(message: Mail) -> str:
    """Id of the mail that the thread began with; empty where nothing names one."""
    for name in ("References", "In-Reply-To", "Message-ID"):
        if found := _MAIL_ID.search(str(message.get(name, ""))):
            return found[1]
    return ""


def _bodies(message: Mail) -> list[Mail]:
    """The text parts that are no attachments; HTML only where there is no plain text."""
    parts = [part for part in message.walk() if not part.is_multipart() and not _is_attached(part)]
    plain = [part for part in parts if part.get_content_type() == "text/plain"]
    return plain or [part for part in parts if part.get_content_type() == "text/html"]


def _is_attached(part: Mail) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _note_attachments(message: Mail, draft: Draft) -> None:
    names = [_decoded(part.get_filename() or "unnamed") for part in message.walk() if _is_attached(part)]
    if not names:
        return
    more = f" and {len(names) - ATTACHMENTS_MAX} more" if len(names) > ATTACHMENTS_MAX else ""
    draft.text(f"Attachments: {', '.join(names[:ATTACHMENTS_MAX])}{more}")
    draft.notes.append(f"Attachments not read: {len(names)}.")
