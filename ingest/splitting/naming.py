"""What a document is called: its title, and what its file's name says beyond it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

MOST = 8
"""Words of a file's name, beyond which it is no name but a sentence or a listing."""
_GAP = re.compile(r"[\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_MEANINGLESS = re.compile(r"[0-9a-f]{8,}|\d{5,}", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}")


def told(name: str, title: str) -> str:
    """The title, before it the words of the file's name where they add any: `COSTCO 2018 10K: UNITED STATES`.

    Names made by machines (numbers, hashes) and those that are a word of the title over again add nothing.
    """
    words = [word for word in _GAP.split(_CAMEL.sub(" ", PurePosixPath(name).stem)) if word]
    if not words or len(words) > MOST or any(map(_MEANINGLESS.fullmatch, words)) or not any(map(_WORD.search, words)):
        return title
    known = _GAP.sub("", title).casefold()
    if all(word.casefold() in known for word in words):
        return title
    return f"{' '.join(words)}: {title}" if title else " ".join(words)
