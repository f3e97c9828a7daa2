"""Patterns over relative paths: `*` within one folder, `**` over any number of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_PIECE = re.compile(r"(?:\*\*/)+|\*+|\?|\[!?\]?[^\]/]*\]|.", re.DOTALL)


@lru_cache(maxsize=256)
def pattern(glob: str) -> re.Pattern[str]:
    """The expression that matches a whole relative path as `glob` says."""
    return re.compile("".join(map(_translate, _PIECE.findall(glob))), re.DOTALL)


def _translate(piece: str) -> str:
    if piece.startswith("**/"):
        return "(?:.*/)?"
    if piece == "*":
        return "[^/]*"
    if piece.startswith("*"):
        return ".*"
    if piece == "?":
        return "[^/]"
    if len(piece) > 2 and piece[0] == "[":
        inside = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
        return f"[^/{inside[1:]}]" if inside[0] == "!" else f"[{_literal(inside)}]"
    return re.escape(piece)


def _literal(inside: str) -> str:
    return "\\" + inside if inside[0] == "^" else inside


def matches(path: str, globs: Iterable[str]) -> bool:
    """Whether any of `globs` matches the whole of `path`."""
    return any(pattern(one).fullmatch(path) for one in globs)


def check_glob(glob: str) -> str:
    """`glob` if it can be matched against relative paths.

    Raises:
        ValueError: it is empty, absolute, leaves the folder, or holds a range that makes no sense.
    """
    parts = glob.split("/")
    if not glob or glob.startswith("/") or ".." in parts:
        raise ValueError(f"{glob!r} is no pattern of paths below the folder")
    try:
        pattern(glob)
    except re.error as error:
        raise ValueError(f"{glob!r} is no pattern: {error}") from None
    return glob
