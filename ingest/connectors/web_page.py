"""What one page says of itself: its links, its title, whether it may be indexed, and a name for what a reader sees."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

import httpx
from charset_normalizer import from_bytes

MOST_LINKS = 5000
_HIDDEN = frozenset({"script", "style", "noscript", "template"})


@dataclass(slots=True)
class Page:
    """Links are absolute, without fragment, each once, in order."""

    links: list[str] = field(default_factory=list)
    title: str = ""
    index: bool = True
    follow: bool = True
    digest: str = ""


class _Reader(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__(convert_charrefs=True)
        self.base = base
        self.links: dict[str, None] = {}
        self.title: list[str] = []
        self.text = hashlib.blake2b(digest_size=12)
        self.index = self.follow = True
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in _HIDDEN or tag == "title":
            self._inside.append(tag)
        elif tag == "base" and given.get("href"):
            self.base = _joined(self.base, given["href"]) or self.base
        elif tag == "meta" and given.get("name", "").lower() == "robots":
            self._robots(given.get("content", ""))
        elif tag in ("a", "area") and "href" in given and "nofollow" not in given.get("rel", "").lower():
            target = _joined(self.base, given["href"])
            if target and len(self.links) < MOST_LINKS:
                self.links.setdefault(target)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if "title" in self._inside:
            self.title.append(data)
        if not self._inside or self._inside == ["title"]:
            words = " ".join(data.split())
            if words:
                self.text.update(words.encode("utf-8", "replace") + b"\0")

    def _robots(self, content: str) -> None:
        said = {word.strip() for word in content.lower().split(",")}
        self.index = self.index and not said & {"noindex", "none"}
        self.follow = self.follow and not said & {"nofollow", "none"}


def read_page(body: bytes, url: str, headers: httpx.Headers) -> Page:
    """What the HTML of a page says; broken HTML says what can be made out."""
    reader = _Reader(url)
    reader.feed(_decoded(body, headers))
    reader.close()
    reader._robots(headers.get("x-robots-tag", "").rpartition(":")[2])  # noqa: SLF001 - the same module
    title = " ".join("".join(reader.title).split())[:300]
    return Page(list(reader.links), title, reader.index, reader.follow, reader.text.hexdigest())


def _decoded(body: bytes, headers: httpx.Headers) -> str:
    _, _, charset = headers.get("content-type", "").lower().partition("charset=")
    for name in (charset.strip(" \"'"), "utf-8"):
        try:
            return body.decode(name)
        except (LookupError, UnicodeDecodeError):
            continue
    best = from_bytes(body[:100_000]).best()
    return body.decode(best.encoding if best else "latin-1", "replace")


def _joined(base: str, href: str) -> str | None:
    """The address that a link leads to; None where it leads to no page."""
    try:
        return normal(urljoin(base, href.strip()))
    except ValueError:
        return None


def normal(url: str) -> str | None:
    """One spelling for each address: no fragment, host in lower case, no default port; None: no HTTP address."""
    try:
        parsed = httpx.URL(urldefrag(url).url)
    except (httpx.InvalidURL, ValueError):
        return None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        return None
    return str(parsed.copy_with(path=parsed.path or "/"))
