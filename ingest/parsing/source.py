"""One file as parsers see it: bytes or a path, read no more often than needed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ingest.model import ItemError
from ingest.parsing.limits import Limits


@dataclass(frozen=True, slots=True)
class Source:
    """A file's name (for messages and its extension) and its content."""

    name: str
    body: bytes | Path
    mime: str | None = None

    @property
    def extension(self) -> str:
        """The last extension in lower case without the dot; empty when there is none."""
        return Path(self.name).suffix.lower().lstrip(".")

    @property
    def stem(self) -> str:
        """The name without folders and extension: the title where a document has none."""
        return Path(self.name).stem or self.name

    def size(self) -> int:
        """Length in bytes."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.stat().st_size

    def head(self, length: int) -> bytes:
        """The first bytes."""
        if isinstance(self.body, bytes):
            return self.body[:length]
        with self.body.open("rb") as stream:
            return stream.read(length)

    def read(self) -> bytes:
        """All bytes."""
        return self.body if isinstance(self.body, bytes) else self.body.read_bytes()

    def open(self) -> BinaryIO:
        """A seekable stream."""
        return io.BytesIO(self.body) if isinstance(self.body, bytes) else self.body.open("rb")

    def check_size(self, limits: Limits) -> None:
        """Refuses a file above the limit before anything is read.

        Raises:
            ItemError: `file_too_large`.
        """
        if (size := self.size()) > limits.max_bytes:
            raise ItemError("file_too_large", f"'{self.name}' has {size} bytes; at most {limits.max_bytes} are parsed.")


def broken(name: str, reason: str) -> ItemError:
    """The error for a file that is not what its type says."""
    return ItemError("file_broken", f"'{name}' cannot be parsed: {reason}.")
