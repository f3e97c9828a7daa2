"""Mails for tests."""

from __future__ import annotations

from email.message import EmailMessage


def mail(
    number: object, *, to: str = "ana@example.com", text: str = "text", files: dict[str, bytes] | None = None
) -> bytes:
    """A mail with attachments, as it is sent."""
    message = EmailMessage()
    message["From"] = "Bob <bob@example.com>"
    message["To"] = to
    message["Subject"] = f"Mail {number}"
    message["Date"] = "Fri, 02 Jan 2026 03:04:05 +0000"
    message["Message-ID"] = f"<{number}@example.com>"
    message.set_content(text)
    for name, body in (files or {}).items():
        message.add_attachment(body, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()
