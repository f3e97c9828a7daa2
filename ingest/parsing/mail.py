"""Mail: `.eml` by the standard library, which decodes every header and charset that mail knows.

`unstructured.partition_email` wraps the same parser and drops the sender and the date from the text.
"""

from __future__ import annotations

import email
import email.policy
from datetime import datetime
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

from ingest.parsing.clean import decode, inline
from ingest.parsing.draft import Draft
from ingest.parsing.source import Source
from ingest.parsing.text import _PARAGRAPHS
from ingest.parsing.web import fill_from_html

_HEADERS = ("Subject", "From", "To", "Cc", "Date")
ATTACHMENTS_MAX = 50
"""Attachments that are named; mail may carry thousands of parts."""


def parse_eml(source: Source, draft: Draft) -> None:
    """Fills `draft` from a mail: its headers as text, then its body; attachments are named, not opened."""
    message = email.message_from_bytes(source.read(), EmailMessage, policy=email.policy.default)
    subject = _header(message, "Subject")
    draft.title = subject
    draft.author = _header(message, "From") or None
    draft.modified_at = _date(_header(message, "Date"))
    lines = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
    draft.text("\n".join(lines))
    _fill_body(message, draft)
    _note_attachments(message, draft)
    draft.title = subject


def _header(message: EmailMessage, name: str) -> str:
    """A header on one line; empty where it is absent or cannot be decoded."""
    try:
        return inline(str(message.get(name, "")))
    except (ValueError, IndexError, AttributeError, TypeError, LookupError):
        return ""


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _fill_body(message: EmailMessage, draft: Draft) -> None:
    for part in _bodies(message):
        data = part.get_payload(decode=True)
        text = decode(data, part.get_content_charset()) if isinstance(data, bytes) else ""
        if part.get_content_type() == "text/html":
            fill_from_html(text, draft)
        else:
            for paragraph in _PARAGRAPHS.split(text.replace("\r\n", "\n").strip()):
                draft.text(paragraph)


def _bodies(message: EmailMessage) -> list[EmailMessage]:
    """The text parts that are no attachments; HTML only where there is no plain text."""
    parts = [p for p in message.walk() if isinstance(p, EmailMessage) and not p.is_multipart() and not _is_attached(p)]
    plain = [p for p in parts if p.get_content_type() == "text/plain"]
    return plain or [p for p in parts if p.get_content_type() == "text/html"]


def _is_attached(part: EmailMessage) -> bool:
    try:
        return part.get_content_disposition() == "attachment" or bool(part.get_filename())
    except (ValueError, IndexError, AttributeError, TypeError, LookupError):
        return True


def _note_attachments(message: EmailMessage, draft: Draft) -> None:
    names = [_filename(part) for part in message.walk() if isinstance(part, EmailMessage) and _is_attached(part)]
    if not names:
        return
    shown = ", ".join(names[:ATTACHMENTS_MAX])
    draft.text(f"Attachments: {shown}")
    draft.notes.append(f"{len(names)} attachments were not read.")


def _filename(part: EmailMessage) -> str:
    try:
        return inline(part.get_filename() or part.get_content_type())
    except (ValueError, IndexError, AttributeError, TypeError, LookupError):
        return "unnamed"
