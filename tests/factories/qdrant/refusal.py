"""What the stand-in refuses, in the statuses and the wording of a Qdrant server."""

from __future__ import annotations

from typing import Any

import grpc

_THE_CALLERS = ("Vector dimension error", "Not existing vector name", "Validation failed", "Wrong input")
"""How the engine's own messages begin where the request was wrong."""


class Refused(Exception):  # noqa: N818 - it is an answer, no fault
    """An answer other than OK."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def wrong(text: str) -> Refused:
    """The request itself cannot be right."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, f"Wrong input: {text}")


def missing(collection: str) -> Refused:
    return Refused(grpc.StatusCode.NOT_FOUND, f"Not found: Collection `{collection}` doesn't exist!")


def unknown(what: str) -> Refused:
    """A server may know it; this one does not."""
    return Refused(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in does not know {what}")


def of_engine(error: Exception) -> Refused:
    """What the engine raised, as a server would tell it."""
    text = str(error)
    if text.startswith(_THE_CALLERS):
        return wrong(text)
    return Refused(grpc.StatusCode.INTERNAL, f"Service internal error: {text}")


def only(message: Any, *fields: str) -> None:
    """Refuses a message that has any other field."""
    others = sorted({field.name for field, _ in message.ListFields()} - set(fields))
    if others:
        raise unknown(f"{message.DESCRIPTOR.name}.{', '.join(others)}")


def chosen(message: Any, group: str, *known: str) -> str:
    """The one field of a `oneof` that is set."""
    name: str | None = message.WhichOneof(group)
    if name is None:
        raise wrong(f"{message.DESCRIPTOR.name} states none of {', '.join(known)}")
    if name not in known:
        raise unknown(f"{message.DESCRIPTOR.name}.{name}")
    return name
