"""Excel files by openpyxl in its streaming mode, CSV by the standard library: a sheet is a page and a table.

`unstructured.partition_xlsx` loads whole sheets through pandas and turns 1 into 1.0.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator, Sequence
from typing import Any

from ingest.parsing.clean import clean, decode
from ingest.parsing.draft import Draft
from ingest.parsing.office import open_package, read_properties
from ingest.parsing.source import Source, broken

CSV_FIELD_MAX = 4 * 1024 * 1024
"""Longest field of a CSV file in characters; an unclosed quote would swallow the rest of the file."""
_DELIMITERS = ",;\t|"


def parse_xlsx(source: Source, draft: Draft) -> None:
    """Fills `draft` from a workbook: values as last calculated, each sheet under a heading with its name."""
    import openpyxl

    book = open_package(source, lambda stream: openpyxl.load_workbook(stream, read_only=True, data_only=True))
    try:
        read_properties(book.properties, draft)
        if draft.author == "openpyxl":
            draft.author = None
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        draft.page_limit(len(sheets))
        for number, sheet in enumerate(sheets, start=1):
            _sheet(sheet, number, draft)
    finally:
        book.close()


def _sheet(sheet: Any, number: int, draft: Draft) -> None:
    """The stated dimensions are not believed: they may be wrong, or enormous."""
    sheet.reset_dimensions()
    before = len(draft.elements)
    draft.heading(str(sheet.title), 1, number)
    opened = len(draft.elements)
    _tables((_values(row) for row in sheet.iter_rows(values_only=True)), number, draft)
    if len(draft.elements) == opened:
        del draft.elements[before:]


def _tables(rows: Iterator[list[str]], number: int | None, draft: Draft) -> None:
    """A table each for blocks of rows between blank ones; a block of single cells is text."""
    block: list[list[str]] = []
    for row in rows:
        if any(row):
            block.append(row)
            draft.count(0)
        elif block:
            _block(block, number, draft)
            block = []
    if block:
        _block(block, number, draft)


def _block(rows: list[list[str]], number: int | None, draft: Draft) -> None:
    while rows and sum(map(bool, rows[0])) == 1 and len(rows) > 1 and sum(map(bool, rows[1])) != 1:
        draft.text(next(filter(None, rows.pop(0))), number)
    if all(sum(map(bool, row)) == 1 for row in rows):
        draft.text("\n".join(next(filter(None, row)) for row in rows), number)
    else:
        draft.table(rows, number)


def _values(row: Sequence[Any]) -> list[str]:
    """Cells as a reader would write them, empty columns on the right left out."""
    texts = ["" if value is None else _value(value) for value in row]
    while texts and not texts[-1]:
        texts.pop()
    return texts


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"
    if isinstance(value, dt.datetime):
        text = value.isoformat(" ", "minutes")
        return text.removesuffix(" 00:00")
    return str(value).strip()


def parse_csv(source: Source, draft: Draft) -> None:
    """Fills `draft` from comma-, semicolon-, tab- or bar-separated rows; the first row is the header."""
    text = clean(decode(source.read())).replace("\f", "\n")
    delimiter = "\t" if source.extension == "tsv" else _delimiter(text)
    previous = csv.field_size_limit(CSV_FIELD_MAX)
    try:
        draft.table(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise broken(source.name, f"not separated values ({type(error).__name__})") from None
    finally:
        csv.field_size_limit(previous)


def _delimiter(text: str) -> str:
    """The separator that splits the first lines into the same number of fields, the more the better."""
    lines = [line for line in text[:20000].split("\n")[:20] if line.strip()]

    def score(delimiter: str) -> tuple[float, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        common = max(set(counts), key=counts.count) if counts else 0
        return (counts.count(common) / len(counts) if common > 1 else 0.0), common

    return max(_DELIMITERS, key=score)
