"""The pieces of Markdown and HTML that the link scanner must know."""

from __future__ import annotations

import re

_HTML = """
    a abbr area article aside audio b base blockquote body br button canvas center cite code col dd del details
    dialog div dl dt em embed fieldset figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html
    i iframe img input ins kbd label li link map mark marquee math meta nav noscript object ol option p param
    picture portal pre q s script section select small source span strike strong style sub summary sup svg table
    tbody td template textarea tfoot th thead time title tr track tt u ul use var video wbr
"""
HTML_NAMES = frozenset(_HTML.split())
_HARMLESS = frozenset({"amp", "lt", "gt", "quot", "apos", "nbsp"})
_ESCAPED = re.compile(r"\\{1,64}(?=[:/.@&<!\[\]()])")
_ENTITY = re.compile(r"&(#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{0,31});")
_RUN = re.compile(r"\\{64,}")
_UNFINISHED = re.compile(r"(?:\\{1,64}|\\{0,64}&(?:#[xX]?[0-9a-fA-F]{0,8}|[A-Za-z][A-Za-z0-9]{0,31})?)\Z")
_TOKEN = re.compile(rf"{_ESCAPED.pattern}|{_ENTITY.pattern}")
_BRACKET = re.compile(r"[\[\]]")
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+\.?\Z")
_HOST = re.compile(r"(?:\A|[.+%@])[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}\Z")


class Normaliser:
    r"""Undoes what hides a link's characters: backslash escapes of them, and character references.

    Renderers look for bare URLs after they have resolved both, so `https\://` and `https&#58;//` are links too. The
    references that cannot be part of one stay. Any split of a text gives the same result.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """What is certain after this piece."""
        text = _RUN.sub(lambda _: "\\" * 64, self._held + text)
        unfinished = _UNFINISHED.search(text)
        cut = unfinished.start() if unfinished else len(text)
        self._held = text[cut:]
        return _TOKEN.sub(_resolved, text[:cut])

    def finish(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return _TOKEN.sub(_resolved, held)


def _resolved(token: re.Match[str]) -> str:
    """Nothing for backslashes; for a reference a space, so that what stands around it does not make another."""
    name = token.group(1)
    if name is None:
        return ""
    return token.group() if name in _HARMLESS else " "


def destination_end(text: str, start: int, limit: int) -> int | None:
    """Where the balanced parenthesis that opens at `start` ends, one past it; None: not before `limit`."""
    depth = 0
    for at in range(start, min(len(text), limit)):
        if text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return at + 1
    return None


def label_end(text: str, start: int, limit: int) -> int | None:
    """Where the label that opens at `start` ends, one past it; None: not before `limit`. A bracket inside ends it."""
    found = _BRACKET.search(text, start + 1, limit)
    if found is None:
        return None
    return found.end() if found.group() == "]" else found.start()


def link_target(inside: str) -> str:
    """The URI between the parentheses of a link, without title and angle brackets."""
    first = inside.split(None, 1)[0] if inside.strip() else ""
    return first[1:-1] if first.startswith("<") and first.endswith(">") else first


def is_email(word: str) -> bool:
    """Whether `word` is an e-mail address and nothing more."""
    return _EMAIL.match(word) is not None


def has_path(word: str, follows: str, before: str) -> bool:
    """Whether `word` is a host name used as an address: with a path, query or port right after it, or `//` before.

    Args:
        word: a run of letters, digits, dots and the like.
        follows: the two characters after it, or fewer at the end.
        before: the two characters before it, or fewer at the start.
    """
    if before.endswith("/"):
        return before == "//" and "." in word.rstrip(".")
    if not _HOST.search(word.strip(".")):
        return False
    port = follows[:1] == ":" and follows[1:2].isdigit()
    return port or (follows[:1] in {"/", "?", "#"} and not follows[1:2].isspace())
