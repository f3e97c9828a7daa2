"""PowerPoint files by python-pptx: a slide is a page, its title a heading, then its shapes from top to bottom.

`unstructured.partition_pptx` wraps the same library, drops cell borders, and guesses titles from wording.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ingest.parsing.draft import Draft
from ingest.parsing.office import open_package, read_properties
from ingest.parsing.source import Source


def parse_pptx(source: Source, draft: Draft) -> None:
    """Fills `draft` from a PowerPoint file; speaker notes follow their slide."""
    import pptx

    deck = open_package(source, pptx.Presentation)
    read_properties(deck.core_properties, draft)
    if draft.title.lower() == "powerpoint presentation":
        draft.title = ""
    draft.page_limit(len(deck.slides))
    for number, slide in enumerate(deck.slides, start=1):
        _slide(slide, number, draft)
    if not draft.title:
        draft.title = next((e.text for e in draft.elements if e.kind == "heading"), "")


def _slide(slide: Any, number: int, draft: Draft) -> None:
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        draft.heading(title.text_frame.text, 1, number)
    shapes = [shape for shape in _flat(slide.shapes) if title is None or shape.shape_id != title.shape_id]
    for shape in sorted(shapes, key=_position):
        _shape(shape, number, draft)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None and frame.text.strip():
        draft.text(f"Notes: {frame.text}", number)


def _flat(shapes: Any) -> Iterator[Any]:
    """Shapes with groups opened; iterative, as groups nest as deep as a file says."""
    stack = list(reversed(list(shapes)))
    while stack:
        shape = stack.pop()
        if hasattr(shape, "shapes"):
            stack.extend(reversed(list(shape.shapes)))
        else:
            yield shape


def _position(shape: Any) -> tuple[int, int]:
    return shape.top or 0, shape.left or 0


def _shape(shape: Any, number: int, draft: Draft) -> None:
    if getattr(shape, "has_table", False):
        draft.table(([cell.text for cell in row.cells] for row in shape.table.rows), number)
    elif shape.has_text_frame:
        _frame(shape.text_frame, number, draft)


def _frame(frame: Any, number: int, draft: Draft) -> None:
    """One paragraph is text; several are the points of a list, indented by their level."""
    lines = [(p.level, "".join(_runs(p)).strip()) for p in frame.paragraphs]
    lines = [(level, " ".join(text.split())) for level, text in lines if text]
    if len(lines) > 1:
        draft.list((f"- {text}" for _, text in lines), number)
    elif lines:
        draft.text(lines[0][1], number)


def _runs(paragraph: Any) -> Iterator[str]:
    """Text of runs, fields and line breaks."""
    yield str(paragraph.text).replace("\v", " ")
