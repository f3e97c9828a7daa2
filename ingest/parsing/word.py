"""Word files: python-docx opens the package and its styles, one pass of our own over the XML reads the body.

python-docx's own walk loses tracked insertions, content controls and text boxes, and is slow on large tables;
`unstructured.partition_docx` loses cell borders and takes any short paragraph for a title.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ingest.parsing.draft import Draft
from ingest.parsing.office import open_package, read_properties
from ingest.parsing.source import Source

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_P, _TBL, _TR, _TC = _W + "p", _W + "tbl", _W + "tr", _W + "tc"
_VAL, _STYLE_ID = _W + "val", _W + "styleId"
_DROPPED = frozenset(
    (*(_W + tag for tag in ("del", "moveFrom", "instrText", "delText", "pPr", "rPr", "sectPr", "tblPr")), _FALLBACK)
)
_SPACES = {_W + "tab": "\t", _W + "br": "\n", _W + "cr": "\n", _W + "noBreakHyphen": "-"}
_HEADING = re.compile(r"heading\s*([1-9])$", re.IGNORECASE)
_NOTES = ("footnotes", "endnotes")


def parse_docx(source: Source, draft: Draft) -> None:
    """Fills `draft` from a Word file: headings by style or outline level, lists, tables, footnotes last."""
    import docx

    document = open_package(source, docx.Document)
    read_properties(document.core_properties, draft)
    reader = BodyReader(draft, _styles(document.styles.element))
    reader.run(document.element.body)
    for part in document.part.package.iter_parts():
        if str(part.partname).rsplit("/", 1)[-1].removesuffix(".xml") in _NOTES:
            reader.run(_safe_tree(part.blob))
    reader.flush()


def _safe_tree(data: bytes) -> Any:
    from lxml import etree

    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))


def _styles(root: Any) -> dict[str, str]:
    """Meaning of each paragraph style: `title`, `list`, or `1` to `6` for a heading's level."""
    found: dict[str, str] = {}
    parents: dict[str, str] = {}
    for style in root.iter(_W + "style"):
        key = style.get(_STYLE_ID, "")
        meaning = _meaning(style)
        if meaning:
            found[key] = meaning
        elif (base := style.find(_W + "basedOn")) is not None:
            parents[key] = base.get(_VAL, "")
    for key in parents:
        ancestor, seen = key, set[str]()
        while ancestor in parents and ancestor not in seen:
            seen.add(ancestor)
            ancestor = parents[ancestor]
        if ancestor in found:
            found[key] = found[ancestor]
    return found


def _meaning(style: Any) -> str:
    name = style.find(_W + "name")
    text = name.get(_VAL, "").strip().lower() if name is not None else ""
    if text == "title":
        return "title"
    if found := _HEADING.match(text):
        return found[1]
    outline = style.find(f"{_W}pPr/{_W}outlineLvl")
    if outline is not None and outline.get(_VAL, "").isdigit() and int(outline.get(_VAL)) < 9:
        return str(int(outline.get(_VAL)) + 1)
    return "list" if text.startswith("list") and "paragraph" not in text else ""


class BodyReader:
    """Adds paragraphs and tables in document order; consecutive list items become one element."""

    def __init__(self, draft: Draft, styles: dict[str, str]) -> None:
        self.draft = draft
        self.styles = styles
        self.items: list[str] = []

    def run(self, root: Any) -> None:
        """Adds every outermost paragraph and table below `root`."""
        for element in _outermost(root, frozenset((_P, _TBL))):
            if element.tag == _TBL:
                self.flush()
                self.draft.table(_rows(element))
            else:
                self._paragraph(element)

    def flush(self) -> None:
        """Adds the list gathered so far."""
        if self.items:
            self.draft.list(self.items)
            self.items = []

    def _paragraph(self, element: Any) -> None:
        meaning = self._style(element)
        text = _text(element)
        if meaning == "list" and text.strip():
            self.items.append(f"- {' '.join(text.split())}")
        elif text.strip():
            self.flush()
            self._add(meaning, text)
        for box in _boxes(element):
            self.run(box)

    def _add(self, meaning: str, text: str) -> None:
        if meaning == "title":
            self.draft.title = self.draft.title or " ".join(text.split())
            self.draft.heading(text)
        elif meaning.isdigit():
            self.draft.heading(text, int(meaning))
        else:
            self.draft.text(text)

    def _style(self, element: Any) -> str:
        properties = element.find(_W + "pPr")
        if properties is None:
            return ""
        outline = properties.find(_W + "outlineLvl")
        if outline is not None and outline.get(_VAL, "9") in "012345678":
            return str(int(outline.get(_VAL)) + 1)
        style = properties.find(_W + "pStyle")
        meaning = self.styles.get(style.get(_VAL, ""), "") if style is not None else ""
        return meaning or ("list" if properties.find(_W + "numPr") is not None else "")


def _outermost(root: Any, tags: frozenset[str]) -> Iterator[Any]:
    """Descendants with one of `tags` that stand in no other such descendant, in order; iterative."""
    stack = list(reversed(root))
    while stack:
        element = stack.pop()
        if element.tag in tags:
            yield element
        elif element.tag not in _DROPPED and isinstance(element.tag, str):
            stack.extend(reversed(element))


def _text(paragraph: Any) -> str:
    """Visible text of a paragraph without its text boxes."""
    parts: list[str] = []
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        if element.tag == _W + "t":
            parts.append(element.text or "")
        elif element.tag in _SPACES:
            parts.append(_SPACES[element.tag])
        elif element.tag not in _DROPPED and element.tag != _W + "txbxContent" and isinstance(element.tag, str):
            stack.extend(reversed(element))
    return "".join(parts)


def _boxes(paragraph: Any) -> list[Any]:
    return list(_outermost(paragraph, frozenset((_W + "txbxContent",))))


def _rows(table: Any) -> Iterator[list[str]]:
    """Rows of cell texts; a table inside a cell is read as that cell's text."""
    for row in _outermost(table, frozenset((_TR,))):
        yield [_cell(cell) for cell in _outermost(row, frozenset((_TC,)))]


def _cell(element: Any) -> str:
    return " ".join(_text(p) for p in element.iter(_P) if not any(a.tag in _DROPPED for a in p.iterancestors()))
