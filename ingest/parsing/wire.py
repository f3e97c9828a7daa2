"""What a parser process and its owner say to one another: length-prefixed frames of JSON, and of bytes one way.

The owner sends a JSON header and a body of raw bytes; the parser answers with JSON alone. Nothing that comes from the
parser is unpickled or trusted: its answer is checked field by field.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from datetime import datetime
from typing import Any, BinaryIO, get_args

from ingest.model import Element, ElementKind, Parsed

FRAME_MAX = 1 << 32
"""Longest frame in bytes that a parser accepts; its owner, whose memory has no limit, accepts less."""
_LENGTH = struct.Struct(">Q")
_KINDS = frozenset(get_args(ElementKind))


_PART = 1 << 20


class WireError(Exception):
    """The other side is gone, or what it sent is no message."""


def send(stream: BinaryIO, *frames: bytes) -> None:
    """Writes frames and flushes.

    Raises:
        OSError: the other side is gone.
    """
    for frame in frames:
        stream.write(_LENGTH.pack(len(frame)))
        stream.write(frame)
    stream.flush()


def send_file(stream: BinaryIO, header: bytes, file: BinaryIO) -> None:
    """Writes a header and the bytes of an open file, a part at a time.

    Raises:
        WireError: the file became shorter while it was read; the stream is not to be used any more.
        OSError: the other side is gone.
    """
    left = os.fstat(file.fileno()).st_size
    send(stream, header)
    stream.write(_LENGTH.pack(left))
    while left:
        part = file.read(min(left, _PART))
        if not part:
            raise WireError("The file became shorter while it was read.")
        stream.write(part)
        left -= len(part)
    stream.flush()


def receive(stream: BinaryIO, most: int = FRAME_MAX) -> bytes:
    """The next frame, of at most that many bytes.

    Raises:
        WireError: the stream ended, or the frame is too long.
        MemoryError: there is no room for the frame; it was read and left out, so the stream can be used further.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > most:
        raise WireError(f"A frame of {length} bytes is longer than {most}.")
    return _exactly(stream, length)


def _exactly(stream: BinaryIO, length: int) -> bytes:
    try:
        data = stream.read(length)
    except MemoryError:  # told before any byte is read, as the room for all is asked for first
        _pass_over(stream, length)
        raise
    if len(data) < length:
        raise WireError("The stream ended inside a message.")
    return data


def _pass_over(stream: BinaryIO, length: int) -> None:
    while length > 0:
        length -= len(_exactly(stream, min(length, _PART)))


def to_json(value: Mapping[str, Any]) -> bytes:
    """A message as bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")


def from_json(data: bytes) -> dict[str, Any]:
    """A message from bytes.

    Raises:
        WireError: not a JSON object.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise WireError("A message is not JSON.") from None
    if not isinstance(value, dict):
        raise WireError("A message is not an object.")
    return value


def dump_parsed(parsed: Parsed) -> dict[str, Any]:
    """A parsed document as plain JSON."""
    return {
        "title": parsed.title,
        "elements": [[e.kind, e.text, e.level, e.page, e.header] for e in parsed.elements],
        "mime": parsed.mime,
        "language": parsed.language,
        "author": parsed.author,
        "modified_at": parsed.modified_at.isoformat() if parsed.modified_at else None,
        "attributes": dict(parsed.attributes),
        "note": parsed.note,
    }


def load_parsed(value: Mapping[str, Any]) -> Parsed:
    """A parsed document from plain JSON.

    Raises:
        WireError: a field is missing or of another type.
    """
    try:
        modified = value["modified_at"]
        return Parsed(
            title=_text(value["title"]),
            elements=tuple(_element(*entry) for entry in value["elements"]),
            mime=_text(value["mime"]),
            language=_optional(value["language"]),
            author=_optional(value["author"]),
            modified_at=datetime.fromisoformat(modified) if modified else None,
            attributes=dict(value["attributes"]),
            note=_optional(value["note"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"A parsed document is malformed ({type(error).__name__}).") from None


def _element(kind: object, text: object, level: object, page: object, header: object) -> Element:
    if kind not in _KINDS or not isinstance(level, int) or not (page is None or isinstance(page, int)):
        raise TypeError("element")
    return Element(kind, _text(text), level, page, _optional(header))  # type: ignore[arg-type]  # checked above


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)
