"""CODEOWNERS: who looks after which paths, in the order in which the last match holds."""

from __future__ import annotations

import re
from collections.abc import Sequence

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
"""Where the file may stand; the first that is there holds."""


class Owners:
    """The owners of each path."""

    def __init__(self, rules: Sequence[tuple[re.Pattern[str], str]] = ()) -> None:
        self._rules = rules

    def of(self, path: str) -> str:
        """The owners of a path, separated by spaces; empty where it has none."""
        return next((owners for pattern, owners in reversed(self._rules) if pattern.match(path)), "")


def parse_owners(text: str) -> Owners:
    """The rules of a CODEOWNERS file; lines that are no rule are passed over."""
    rules = []
    for line in text.splitlines():
        parts = re.split(r"(?<!\\)\s+", re.sub(r"(?<!\\)#.*", "", line).strip())
        if parts[0] and not parts[0].startswith(("[", "^[")):
            rules.append((_pattern(parts[0].replace("\\ ", " ").replace("\\#", "#")), " ".join(parts[1:])))
    return Owners(rules)


def _pattern(text: str) -> re.Pattern[str]:
    """A pattern as in .gitignore: one without an inner slash matches at any depth, a folder all that it holds."""
    anchored = "/" in text.rstrip("/")
    body = "".join(_piece(one) for one in re.findall(r"/\*\*/|\*\*/|/\*\*|\*\*|\*|\?|.", text.strip("/")))
    head = "" if anchored else "(?:.*/)?"
    tail = r"/.+" if text.endswith("/") else "" if text.endswith("/*") else "(?:/.+)?"
    return re.compile(rf"{head}{body}{tail}\Z", re.DOTALL)


def _piece(piece: str) -> str:
    special = {"/**/": "/(?:.*/)?", "**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return special.get(piece) or re.escape(piece)
