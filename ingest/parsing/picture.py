"""Pictures of text: PNG, JPEG, and TIFF with all its pages."""

from __future__ import annotations

from ingest.parsing.draft import Draft
from ingest.parsing.layout import Line, fill_pages
from ingest.parsing.ocr import Reader, pictures
from ingest.parsing.source import Source


def parse_picture(source: Source, draft: Draft) -> None:
    """Fills `draft` from a picture; a frame is a page, counted from 1."""
    reader = Reader(draft.limits)
    pages = [
        [Line(line) for line in (reader.lines(picture) if reader.ready() else ())]
        for picture in pictures(source, draft.limits)
    ]
    draft.notes.extend(sorted(reader.notes))
    fill_pages(draft, pages)
    draft.title = ""
