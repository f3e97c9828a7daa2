"""Takes every link out of a model's output but those to citations we issued (EchoLeak, CVE-2025-32711).

A model that obeys an injected passage may write a link or an image whose address carries what it read; showing it is
enough to send that away. Whatever a Markdown renderer could turn into a link, an image or HTML is removed or broken
up, in code as well, since renderers differ on what is code. Host names and e-mail addresses alone stay as text.

The scanner decides at each place from a bounded look ahead and never from where the stream was cut, so that any split
of the same text gives the same result.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from answer.markup import (
    HTML_NAMES,
    Normaliser,
    destination_end,
    has_path,
    is_email,
    label_end,
    link_target,
)

LOOK_AHEAD = 1024
REMOVED = "(link removed)"
_WORD = re.compile(r"[\w.%+@-]+")
_URL_BODY = re.compile(r"[^\s<>\"'`()\[\]{}|\\^*]*")
_SCHEME = re.compile(r"(?:mailto|xmpp|javascript|vbscript|data)\Z", re.IGNORECASE)
_WWW = re.compile(r"(?:\A|[\W_])www\.", re.IGNORECASE)
_AFTER_URI = re.compile(r"[.,;:!?)\]>\"'*_`|]{0,8}(?:\s|\Z)")
_PLAIN_TEXT = re.compile(r"(?!.*(?:://|www\.|@))[^<>`!]+\Z", re.IGNORECASE | re.DOTALL)
_NUMBERS = re.compile(r"[\d\s,;]+\Z")
_BRACKET_OR_LINE = re.compile(r"[\[\]\n]")
_OPENS_TAG = re.compile(r"<[A-Za-z/!?]")
_AUTOLINK = re.compile(r"[A-Za-z][\w.+-]*:\S+\Z")
_ANGLE = re.compile(r"[<>]")
_TAG = re.compile(r"[/!?]?([A-Za-z][A-Za-z0-9-]*)")
_JOINS = re.compile(r"[\w.%+@:/<&#!?\\-]\Z")
_SPECIAL = re.compile(r"[\w.%+@\[\]<!-]")


class LinkStream:
    """Filters an answer that arrives in pieces cut anywhere; joined, its output is that of `strip_links`.

    At most `LOOK_AHEAD` characters, or a little more than the longest issued URI, are held back.

    Args:
        issued: URIs of the citations of this answer; a link to exactly one of them stays.
    """

    def __init__(self, issued: Collection[str] = ()) -> None:
        self._issued = sorted({uri for uri in issued if uri and not re.search(r"[\s<>]", uri)}, key=len, reverse=True)
        self._window = max([LOOK_AHEAD, *(len(uri) + 64 for uri in self._issued)])
        self._normaliser = Normaliser()
        self._buffer = ""
        self._out: list[str] = []
        self._last = ""
        self._dropping = False
        self._final = False

    def feed(self, text: str) -> str:
        """What may be shown after this piece."""
        return self._run(self._normaliser.feed(text))

    def finish(self) -> str:
        """What was held back, with whatever is unfinished broken up."""
        self._final = True
        return self._run(self._normaliser.finish())

    def _run(self, text: str) -> str:
        self._buffer += text
        while self._buffer and self._step():
            pass
        shown, self._out = "".join(self._out), []
        return shown

    def _step(self) -> bool:
        """Decides the start of the buffer; False: more text is needed."""
        if self._dropping:
            return self._drop()
        char = self._buffer[0]
        if char == "[" or self._buffer.startswith("!["):
            return self._bracket(1 if char == "!" else 0)
        if char == "!" and self._short(2):
            return False
        if char == "]":
            return self._close()
        if char == "<":
            return self._angle()
        return self._word() if _WORD.match(char) else self._plain()

    def _short(self, needed: int) -> bool:
        """Whether the buffer ends before `needed` characters while more may come and the window allows it."""
        return len(self._buffer) < min(needed, self._window) and not self._final

    def _plain(self) -> bool:
        """Emits up to the next character that may begin something."""
        found = _SPECIAL.search(self._buffer, 1)
        return self._emit(found.start() if found else len(self._buffer))

    def _emit(self, count: int) -> bool:
        """Passes on `count` characters."""
        self._write(self._buffer[:count])
        self._buffer = self._buffer[count:]
        return True

    def _write(self, text: str) -> None:
        """Never `](` or `]:`, which make a link or a definition."""
        apart = " " if self._last.endswith("]") and text.startswith(("(", ":")) else ""
        self._out.append(apart + text)
        self._last = (self._last + apart + text)[-2:]

    def _replace(self, count: int, text: str) -> bool:
        """Puts `text` in place of the buffer's first `count` characters; it is scanned in its turn.

        What was shown before it must not become a link by its new neighbour: `www[.](x)evil.example`, `<[a](x)>`.
        """
        if text[:1].strip() and _JOINS.search(self._last):
            self._write(" ")
        self._buffer = text + self._buffer[count:]
        return True

    def _keep(self, count: int, link: str) -> bool:
        """Writes `link` in place of `count` characters; a `!` right before `[` would make it an image."""
        self._write((" " if self._last.endswith("!") else "") + link)
        self._buffer = self._buffer[count:]
        return True

    def _bracket(self, image: int) -> bool:
        """`[text](uri)`, `[text][label]`, and both as images."""
        start = image + 1
        closing = _BRACKET_OR_LINE.search(self._buffer, start, self._window)
        if closing is None:
            return False if self._short(self._window) else self._emit(start)
        at = closing.start()
        if closing.group() != "]":
            return self._emit(start)
        if self._short(at + 2):
            return False
        if self._buffer[at + 1 : at + 2] not in {"(", "["}:
            return self._emit(start)
        return self._linked(image, self._buffer[start:at], at + 1)

    def _linked(self, image: int, text: str, at: int) -> bool:
        """What stands for `text` when a destination or a label follows at `at`."""
        inline = self._buffer[at] == "("
        end = (destination_end if inline else label_end)(self._buffer, at, self._window)
        if end is None:
            return False if self._short(self._window) else self._emit(image + 1)
        target = link_target(self._buffer[at + 1 : end - 1]) if inline else ""
        if target in self._issued and not image and _PLAIN_TEXT.match(text):
            return self._keep(end, f"[{text}]({target})")
        if _NUMBERS.match(text):
            return self._cite(text, end if inline else at)
        if not inline and _NUMBERS.match(self._buffer[at + 1 : end - 1]):
            return self._replace(at, text)
        return self._replace(end, text)

    def _cite(self, text: str, end: int) -> bool:
        """A citation marker that was made a link stays a marker."""
        self._write(f"[{text}]")
        self._buffer = self._buffer[end:]
        return True

    def _close(self) -> bool:
        """A `]` whose `[` is out of reach: the destination that may follow goes."""
        if self._short(2):
            return False
        if not self._buffer.startswith("]("):
            return self._emit(1)
        end = destination_end(self._buffer, 1, self._window)
        if end is None:
            return False if self._short(self._window) else self._emit(1)
        self._write("]")
        self._buffer = self._buffer[end:]
        return True

    def _angle(self) -> bool:
        """Autolinks and HTML."""
        if self._short(2):
            return False
        if not _OPENS_TAG.match(self._buffer):
            return self._emit(1)
        end = _ANGLE.search(self._buffer, 1, self._window)
        if end is None and self._short(self._window):
            return False
        if end is None or end.group() == "<":
            return self._keep(1, "< ")
        return self._tag(self._buffer[1 : end.start()], end.end())

    def _tag(self, inside: str, end: int) -> bool:
        if inside in self._issued:
            return self._keep(end, f"<{inside}>")
        if is_email(inside) or _AUTOLINK.match(inside):
            return self._replace(end, inside + " ")
        name = _TAG.match(inside)
        return self._replace(end, " ") if name and name.group(1).lower() in HTML_NAMES else self._keep(1, "< ")

    def _word(self) -> bool:
        """A run of letters and the like: a scheme, a host name, or only a word."""
        match = _WORD.match(self._buffer, 0, self._window)
        end = match.end() if match else 1
        if end >= self._window:
            return self._forget(end)
        if self._short(end + 3):
            return False
        word, rest = self._buffer[:end], self._buffer[end : end + 3]
        if rest.startswith("://"):
            return self._uri(end)
        scheme = rest[:1] == ":" and not rest[1:2].isspace() and len(rest) > 1 and _SCHEME.search(word)
        if scheme or _WWW.search(word) or (not is_email(word) and has_path(word, rest, self._last)):
            return self._uri(end)
        return self._emit(end)

    def _uri(self, end: int) -> bool:
        """A bare URI: stays if it is an issued one to the last character."""
        for uri in self._issued:
            if not uri.startswith(self._buffer[: len(uri)]):
                continue
            if self._short(len(uri) + 10):
                return False
            if self._buffer.startswith(uri) and _AFTER_URI.match(self._buffer, len(uri)):
                return self._keep(len(uri), uri)
        return self._forget(end)

    def _forget(self, count: int) -> bool:
        self._write(REMOVED)
        self._buffer = self._buffer[count:]
        self._dropping = True
        return True

    def _drop(self) -> bool:
        """Goes on leaving out a URI, of whatever length."""
        body = _URL_BODY.match(self._buffer)
        self._buffer = self._buffer[body.end() if body else 0 :]
        self._dropping = not self._buffer
        return bool(self._buffer)


def strip_links(text: str, issued: Collection[str] = ()) -> str:
    """The whole text without links, images and HTML, but for links to exactly an issued URI."""
    stream = LinkStream(issued)
    return stream.feed(text) + stream.finish()
