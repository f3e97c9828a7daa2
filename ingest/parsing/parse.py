"""One file to its structure: detect, check, read, and say in one code what went wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module

from ingest.model import Content, Element, EmptyError, ItemError, Parsed
from ingest.parsing.archive import check_archive
from ingest.parsing.clean import inline
from ingest.parsing.detect import MIMES, detect
from ingest.parsing.draft import Draft
from ingest.parsing.limits import Limits
from ingest.parsing.source import Source, broken

Reader = Callable[[Source, Draft], None]

_READERS = {
    "text": "text:parse_text",
    "code": "text:parse_code",
    "markdown": "markdown:parse_markdown",
    "html": "web:parse_html",
    "xml": "other:parse_xml",
    "csv": "sheets:parse_csv",
    "tsv": "sheets:parse_csv",
    "eml": "mail:parse_eml",
    "msg": "other:parse_msg",
    "pdf": "pdf:parse_pdf",
    "docx": "word:parse_docx",
    "pptx": "slides:parse_pptx",
    "xlsx": "sheets:parse_xlsx",
    "png": "picture:parse_picture",
    "jpeg": "picture:parse_picture",
    "tiff": "picture:parse_picture",
}
_ARCHIVES = frozenset(("docx", "pptx", "xlsx"))


def parse(content: Content, limits: Limits) -> Parsed:
    """The structure of a file. Pure, but meant for a parser process: what it reads is not to be trusted.

    Raises:
        ItemError: with `file_broken`, `file_encrypted`, `file_too_large`, `type_unsupported`, `too_many_pages`,
            `expansion_too_large` or `parse_memory` as its `item_code`.
        EmptyError: the file holds no text.
    """
    if content.elements is not None:
        return parsed_from_elements(content)
    if content.body is None:
        raise EmptyError(f"'{content.name}' has no content.")
    source = Source(content.name, content.body, content.mime)
    draft = Draft(content.name, limits)
    kind = _read_guarded(source, draft)
    return _finished(content, source, draft, MIMES[kind])


def parsed_from_elements(content: Content) -> Parsed:
    """The structure of content that needs no parser (rows, messages), its text cleaned alike.

    Raises:
        EmptyError: it holds no text.
    """
    draft = Draft(content.name, Limits())
    for element in content.elements or ():
        draft.elements.append(_cleaned(element))
    draft.elements = [element for element in draft.elements if element.text.strip()]
    source = Source(content.name, b"", content.mime)
    return _finished(content, source, draft, content.mime or "text/plain")


def _cleaned(element: Element) -> Element:
    from ingest.parsing.clean import block

    header = None if element.header is None else inline(element.header)
    return Element(element.kind, block(element.text), element.level, element.page, header)


def _read_guarded(source: Source, draft: Draft) -> str:
    """Reads the file; whatever a library raises becomes an error that says nothing of the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(source, draft)
    except ItemError:
        raise
    except MemoryError:
        raise ItemError("parse_memory", f"'{source.name}' needs more memory than a parser may use.") from None
    except RecursionError:
        raise broken(source.name, "it is nested too deeply") from None
    except OSError as error:
        raise broken(source.name, f"it cannot be read ({error.strerror or type(error).__name__})") from None
    except Exception as error:
        raise broken(source.name, f"its parser failed ({type(error).__name__})") from error


def _read(source: Source, draft: Draft) -> str:
    source.check_size(draft.limits)
    if source.size() == 0:
        raise EmptyError(f"'{source.name}' is empty.")
    kind = detect(source)
    if kind in _ARCHIVES:
        check_archive(source, draft.limits)
    _reader(kind)(source, draft)
    return kind


def _reader(kind: str) -> Reader:
    """The reader of a format; its module and libraries load when the first such file comes."""
    module, function = _READERS[kind].split(":")
    reader: Reader = getattr(import_module(f"ingest.parsing.{module}"), function)
    return reader


def _finished(content: Content, source: Source, draft: Draft, mime: str) -> Parsed:
    if not any(element.kind not in ("title", "heading") for element in draft.elements):
        draft.elements = _headings_as_text(draft.elements)
    if not draft.elements:
        note = f" {' '.join(draft.notes)}" if draft.notes else ""
        raise EmptyError(f"'{content.name}' holds no text.{note}")
    return Parsed(
        title=inline(content.title or draft.title) or inline(source.stem),
        elements=tuple(draft.elements),
        mime=mime,
        author=inline(content.author or draft.author or "") or None,
        modified_at=_aware(content.modified_at or draft.modified_at),
        attributes={**draft.attributes, **content.attributes},
        note=" ".join(draft.notes) or None,
    )


def _aware(moment: datetime | None) -> datetime | None:
    """Times without a zone are UTC, as office files write them."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _headings_as_text(elements: list[Element]) -> list[Element]:
    """A document of headings alone is text: there is nothing else to find in it."""
    return [Element("text", element.text, page=element.page) for element in elements]
