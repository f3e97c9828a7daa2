"""HTML by lxml: one pass over the tree that drops what a reader does not see.

`unstructured.partition_html` was the alternative: it keeps navigation, makes short paragraphs headings, and joins a
table's cells without borders.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from lxml import etree

from ingest.parsing.clean import BINARY_PROBE, clean, decode
from ingest.parsing.draft import Draft
from ingest.parsing.source import Source

_DROPPED_NAMES = """
    script style noscript template svg math nav footer aside iframe object embed button select input textarea canvas
    audio video map datalist dialog head
"""
_DROPPED = frozenset(_DROPPED_NAMES.split())
_DROPPED_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "menu", "menubar", "dialog"))
_BLOCKS_NAMES = """
    address article blockquote body center dd details dialog div dl dt fieldset figcaption figure form header hr html
    legend main p section summary table tbody td tfoot th thead tr ul ol li pre caption h1 h2 h3 h4 h5 h6
"""
_BLOCKS = frozenset(_BLOCKS_NAMES.split())
_HEADINGS = {f"h{n}": n for n in range(1, 7)}
_DATES = (
    "article:modified_time", "og:updated_time", "datemodified", "dcterms.modified", "last-modified",
    "article:published_time", "datepublished", "dcterms.date", "dc.date", "date",
)  # fmt: skip
"""Names of a page's dates, those of its last change first."""
MENU_MOST = 3000
"""Most characters of navigation; what is longer is looked at no further."""
LINKS = 0.5
"""Share of its text in links from which a part that is called navigation is that."""
_NAVIGATES = re.compile(
    r"\b(?:nav|navbar|navigation|menu|submenu|breadcrumbs?|sidebar|toc|pager|pagination)\b", re.IGNORECASE
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)


def parse_html(source: Source, draft: Draft) -> None:
    """Fills `draft` from an HTML file; the title is that of `<title>`, else the first heading."""
    fill_from_html(source.read(), draft)


def fill_from_html(data: bytes | str, draft: Draft) -> list[int]:
    """Adds the visible text of an HTML document to `draft`; in how many quotes each element stands that was added."""
    root = _tree(data if isinstance(data, str) else _decoded(data))
    if root is None:
        return []
    if not draft.title:
        draft.title = " ".join((root.findtext(".//title") or "").split())
    if draft.author is None and (author := root.find(".//meta[@name='author']")) is not None:
        draft.author = author.get("content") or None
    if draft.modified_at is None:
        draft.modified_at = _date(root)
    before, walker = len(draft.elements), Walker(draft)
    walker.run(_content(root))
    return walker.depths(before)


def _date(root: Any) -> datetime | None:
    """When a page says it was changed, else published."""
    stated = {
        (meta.get("property") or meta.get("name") or meta.get("itemprop") or "").lower(): meta.get("content") or ""
        for meta in root.iterfind(".//meta")
    }
    for name in _DATES:
        try:
            return datetime.fromisoformat(stated[name].strip())
        except (KeyError, ValueError):
            continue
    return None


def _decoded(data: bytes) -> str:
    found = _CHARSET.search(data[:BINARY_PROBE])
    return decode(data, found[1].decode("ascii") if found else None)


def _tree(text: str) -> Any:
    """The parsed tree; None when there is nothing in it. No network, no entities beyond HTML's own.

    Raises:
        RecursionError: nested beyond what libxml2 reads; it would leave the rest out without a word.
    """
    parser = etree.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, encoding="utf-8", huge_tree=True)
    data = clean(text).encode("utf-8")
    if not data.strip():
        return None
    root = etree.fromstring(data, parser)
    if any(error.type_name == "ERR_RESOURCE_LIMIT" for error in parser.error_log):
        raise RecursionError("HTML")
    return root


def _content(root: Any) -> Any:
    """`<main>` or a single `<article>` where there is one with text, else the whole."""
    for path in (".//main", ".//*[@role='main']", ".//article"):
        found = root.findall(path)
        if len(found) == 1 and any(part.strip() for part in found[0].itertext()):
            return found[0]
    return root


def _dropped(element: Any) -> bool:
    if element.tag in _DROPPED or not isinstance(element.tag, str):
        return True
    attributes = element.attrib
    if _NAVIGATES.search(f"{attributes.get('id', '')} {attributes.get('class', '')}") and _is_links(element):
        return True
    return (
        attributes.get("role") in _DROPPED_ROLES
        or "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or _HIDDEN.search(attributes.get("style", "")) is not None
    )


def _is_links(element: Any) -> bool:
    """Whether most of its text is that of links: a menu, a breadcrumb, a list of other pages."""
    total = 0
    for text in element.itertext():
        total += len(text.strip())
        if total > MENU_MOST:
            return False
    linked = sum(len(text.strip()) for link in element.iter("a") for text in link.itertext())
    return linked >= LINKS * total


class Walker:
    """One pass in document order with a text buffer that every block boundary empties."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.buffer: list[str] = []
        self.items: list[str] = []
        self.depth = 0
        self.in_item = False
        self.quotes: list[tuple[int, int]] = []

    def depths(self, start: int) -> list[int]:
        """For each element from `start` on, how many `blockquote` hold it."""
        found, depth, changes = [], 0, self.quotes[::-1]
        for place in range(start, len(self.draft.elements)):
            while changes and changes[-1][0] <= place:
                depth += changes.pop()[1]
            found.append(depth)
        return found

    def run(self, root: Any) -> None:
        """Adds all visible blocks below `root`. Iterative: nesting depth is the input's to choose."""
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            if event == "start":
                if self._take_whole(element):
                    walk.skip_subtree()
                else:
                    self._start(element)
            else:
                self._end(element)
                if element is not root:
                    self.buffer.append(_folded(element.tail))
        self._flush()
        self._flush_items()

    def _take_whole(self, element: Any) -> bool:
        """Whether the subtree is dropped or was added as one; its tail stays for the end event."""
        tag = element.tag
        if _dropped(element):
            return True
        if tag == "table" and _is_data(element):
            self._flush()
            self._flush_items()
            self.draft.table(_rows(element))
            return True
        if tag == "pre":
            self._flush()
            self._flush_items()
            self.draft.code("".join(element.itertext()))
            return True
        return False

    def _start(self, element: Any) -> None:
        tag = element.tag
        if tag in _BLOCKS:
            self._flush()
        if tag == "blockquote":
            self.quotes.append((len(self.draft.elements), 1))
        if tag in ("ul", "ol"):
            self.depth += 1
        elif tag == "li":
            self.in_item = True
        elif tag == "br":
            self.buffer.append("\n")
        self.buffer.append(_folded(element.text))

    def _end(self, element: Any) -> None:
        tag = element.tag
        if not isinstance(tag, str) or tag not in _BLOCKS or _dropped(element):
            return
        if tag in _HEADINGS:
            self._flush_heading(_HEADINGS[tag])
            return
        self._flush()
        if tag == "blockquote":
            self.quotes.append((len(self.draft.elements), -1))
        if tag in ("ul", "ol"):
            self.depth = max(self.depth - 1, 0)
            if self.depth == 0:
                self._flush_items()
        elif tag == "li":
            self.in_item = False

    def _flush_heading(self, level: int) -> None:
        text = "".join(self.buffer)
        self.buffer.clear()
        self._flush_items()
        self.draft.heading(text, level)

    def _flush(self) -> None:
        text = "".join(self.buffer).strip()
        self.buffer.clear()
        if not text:
            return
        if self.depth:
            mark = "- " if self.in_item else "  "
            self.in_item = False
            self.items.append(mark + " ".join(text.split()))
        else:
            self.draft.text(text)

    def _flush_items(self) -> None:
        if self.items:
            self.draft.list(self.items)
            self.items = []


def _folded(text: str | None) -> str:
    """Line ends in the source are spaces; only `<br>` breaks a line."""
    return (text or "").replace("\n", " ")


def _is_data(table: Any) -> bool:
    """A table of data, not of layout: no table or heading inside, and some row of two cells."""
    if next(table.iterdescendants("table", "h1", "h2", "h3", "ul", "ol"), None) is not None:
        return False
    return any(len(row.findall("td")) + len(row.findall("th")) > 1 for row in table.iter("tr"))


def _rows(table: Any) -> list[list[str]]:
    return [
        [" ".join(_visible(cell)) for cell in row if cell.tag in ("td", "th")]
        for row in table.iter("tr")
        if not _dropped(row)
    ]


def _visible(cell: Any) -> list[str]:
    """Text of a cell without hidden parts."""
    texts: list[str] = []
    walk = etree.iterwalk(cell, events=("start", "end"))
    for event, element in walk:
        if event == "start":
            if element is not cell and _dropped(element):
                walk.skip_subtree()
            else:
                texts.append(element.text or "")
        elif element is not cell:
            texts.append(element.tail or "")
    return texts
