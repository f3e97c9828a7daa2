"""What Word, PowerPoint and Excel files share: opening a checked package, and its properties."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import Any, TypeVar

from ingest.parsing.archive import check_archive
from ingest.parsing.clean import inline
from ingest.parsing.draft import Draft
from ingest.parsing.limits import Limits
from ingest.parsing.source import Source, broken

Package = TypeVar("Package")


def open_package(source: Source, opener: Callable[[Any], Package]) -> Package:
    """What `opener` makes of the file's stream.

    Raises:
        ItemError: `file_broken` where the library cannot open it.
    """
    try:
        return opener(source.open())
    except (KeyError, ValueError, AttributeError, TypeError, OSError, SyntaxError, zipfile.BadZipFile) as error:
        raise broken(source.name, f"not a whole office file ({type(error).__name__})") from None


def checked(source: Source, limits: Limits) -> None:
    """Checks the archive before a library opens it."""
    check_archive(source, limits)


def read_properties(properties: Any, draft: Draft) -> None:
    """Title, author and time of change, where they are stated and legible."""
    draft.title = inline(_property(properties, "title") or "")
    author = _property(properties, "author") or _property(properties, "creator")  # Excel's library says creator
    draft.author = inline(author or "") or None
    draft.modified_at = _property(properties, "modified")


def _property(properties: Any, name: str) -> Any:
    """A property; None when it is absent or malformed, which must not cost the document."""
    try:
        return getattr(properties, name)
    except (ValueError, AttributeError, TypeError):
        return None
