"""PDF by pypdfium2, page by page: it keeps a table's row on one line and is 45 times as fast as the alternatives.

What its lines are, `layout` tells. Pages without a text layer are read by OCR where that is installed; those that
stay empty are named in the note.
"""

from __future__ import annotations

import ctypes
import re
from datetime import datetime, timedelta, timezone
from typing import Any

from ingest.model import ItemError
from ingest.parsing.clean import inline
from ingest.parsing.draft import Draft
from ingest.parsing.layout import HEADING_MAX, Line, fill_pages, ranges
from ingest.parsing.ocr import Reader, rendered
from ingest.parsing.source import Source, broken

BOLD = 650
"""Font weight from which a line counts as bold."""

_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_BOLD_NAMES = (b"Bold", b"Black", b"Heavy", b"Semibold")
_LETTER = re.compile(r"[^\W\d_]")
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:Z|([-+])(\d\d)'?(\d\d)?)?")
_PASSWORD = 4
"""pdfium's error code for a missing or wrong password."""


def parse_pdf(source: Source, draft: Draft) -> None:
    """Fills `draft` from a PDF; page numbers count from 1."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(source.body)
    except pypdfium2.PdfiumError as error:
        raise _refused(source, error) from None
    try:
        draft.page_limit(len(document))
        _read_metadata(document, draft)
        pages = [_read_page(document, number) for number in range(len(document))]
        _read_scans(document, pages, draft)
    except pypdfium2.PdfiumError:
        raise broken(source.name, "a page cannot be loaded") from None
    finally:
        document.close()
    fill_pages(draft, pages)


def _read_scans(document: Any, pages: list[list[Line]], draft: Draft) -> None:
    """Reads the pages that have no text layer as pictures."""
    reader = Reader(draft.limits)
    read: list[int] = []
    for index, lines in enumerate(pages):
        if lines or not reader.ready():
            continue
        page = document[index]
        try:
            pages[index] = [Line(line) for line in reader.lines(rendered(page))]
        finally:
            page.close()
        if pages[index]:
            read.append(index + 1)
    if read:
        draft.notes.append(f"Pages read by OCR: {ranges(read)}.")
    draft.notes.extend(sorted(reader.notes))


def _refused(source: Source, error: Exception) -> ItemError:
    if getattr(error, "err_code", None) == _PASSWORD or "password" in str(error).lower():
        return ItemError("file_encrypted", f"'{source.name}' is encrypted with a password.")
    return broken(source.name, "it is not a whole PDF")


def _read_metadata(document: Any, draft: Draft) -> None:
    """Title, author and date; a title without a letter (a filing number) is none."""
    found = document.get_metadata_dict()
    title = inline(found.get("Title") or "")
    draft.title = title if _LETTER.search(title) else ""
    draft.author = inline(found.get("Author") or "") or None
    draft.modified_at = _date(found.get("ModDate") or found.get("CreationDate") or "")


def _date(text: str) -> datetime | None:
    """A moment as PDF writes it, `D:20211029061033-04'00'`; parts on the right may be absent."""
    found = _DATE.match(text)
    if found is None:
        return None
    parts = [int(part) for part in found.groups()[:6] if part]
    year, month, day, hour, minute, second = [*parts, *(1, 1, 1, 0, 0, 0)[len(parts) :]]
    sign, hours, minutes = found.groups()[6:]
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        zone = timezone(-offset if sign == "-" else offset)
        return datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None


def _read_page(document: Any, index: int) -> list[Line]:
    page = document[index]
    try:
        text_page = page.get_textpage()
        try:
            text: str = text_page.get_text_bounded()
            fonts = _fonts(text_page)
        finally:
            text_page.close()
    finally:
        page.close()
    lines = (inline(line.translate(_LIGATURES)) for line in re.split(r"[\r\n]+", text))
    return [Line(line, *fonts.get(line, (0.0, False))) for line in lines if line]


def _fonts(text_page: Any) -> dict[str, tuple[float, bool]]:
    """Font size and boldness of each line by its text; empty where characters and text do not align."""
    length = text_page.count_chars()
    text = text_page.get_text_range() if length > 0 else ""
    if len(text) != length:
        return {}
    found: dict[str, tuple[float, bool]] = {}
    start = 0
    for piece in text.split("\n"):
        line = inline(piece.translate(_LIGATURES))
        if line:
            first, last = start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()) - 1
            found[line] = _font(text_page, first, last, short=len(line) <= HEADING_MAX)
        start += len(piece) + 1
    return found


def _font(text_page: Any, first: int, last: int, *, short: bool) -> tuple[float, bool]:
    """Size at the first character; bold if the first and the last are. Long lines are no headings, so not asked."""
    import pypdfium2.raw as pdfium

    size = round(pdfium.FPDFText_GetFontSize(text_page.raw, first), 1)
    return size, short and all(_is_bold(text_page, at) for at in (first, last))


def _is_bold(text_page: Any, at: int) -> bool:
    import pypdfium2.raw as pdfium

    if pdfium.FPDFText_GetFontWeight(text_page.raw, at) >= BOLD:
        return True
    name = ctypes.create_string_buffer(128)
    pdfium.FPDFText_GetFontInfo(text_page.raw, at, name, len(name), ctypes.byref(ctypes.c_int()))
    return any(part in name.value for part in _BOLD_NAMES)
