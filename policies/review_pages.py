"""A review as a file for people: CSV for a spreadsheet, HTML for a printer."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from html import escape
from types import MappingProxyType
from typing import Any

from policies.review import Line, Review

COLUMNS = tuple(one.name for one in fields(Line))
_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "access": "Who can read what, and why",
        "unused_grant": "Grants nobody used",
        "exposed": "Readable by everyone, labelled higher",
        "orphan": "Names that mean nobody",
        "no_entry": "Places nobody may read",
        "break_glass": "Emergency access",
    }
)
_HEADS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("access", "by"): "lets them in",
        ("access", "path"): "how they come to it",
        ("access", "last_used"): "last shown a document",
        ("unused_grant", "by"): "to whom",
        ("exposed", "by"): "opened to",
        ("orphan", "by"): "name",
        ("break_glass", "by"): "opened by",
        ("break_glass", "expires_at"): "until",
    }
)
"""Columns that a person would not understand by their name in the file."""
_STYLE = (
    "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}"
    "td,th{border:1px solid #999;padding:2px 6px;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "th{background:#eee}@media print{thead{display:table-header-group}tr{break-inside:avoid}}"
)


def to_csv(found: Review) -> str:
    """One table, a line each; a cell that a spreadsheet would run as a formula is made plain text."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows([harmless(_text(getattr(line, name))) for name in COLUMNS] for line in found.lines)
    return out.getvalue()


def to_html(found: Review) -> str:
    """One page that needs nothing else, a table for each kind of line."""
    about = (
        f"{found.people} people, as of {_when(found.at)}, policy epoch {found.epoch};"
        f" usage since {found.since.date().isoformat()}"
    )
    title = f"Access review of {f'group {found.group}' if found.group else 'everybody'}"
    tables = "".join(_table(found, kind, heading) for kind, heading in _TITLES.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1><p>{escape(about)}</p>{tables}</body></html>\n"
    )


def _table(found: Review, kind: str, heading: str) -> str:
    lines = [line for line in found.lines if line.kind == kind]
    columns = [name for name in COLUMNS[1:] if any(_text(getattr(line, name)) for line in lines)]
    head = "".join(f"<th>{escape(_HEADS.get((kind, name), name.replace('_', ' ')))}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_shown(getattr(line, name)))}</td>" for name in columns) + "</tr>"
        for line in lines
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if lines else "<p>None.</p>"
    return f"<h2>{escape(heading)} ({len(lines)})</h2>{table}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def _shown(value: Any) -> str:
    """As people read it; a file for programs has the whole time."""
    return _when(value) if isinstance(value, datetime) else _text(value)


def _when(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M %Z")


def harmless(text: str) -> str:
    """A cell as plain text: a spreadsheet would run what begins like a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text
