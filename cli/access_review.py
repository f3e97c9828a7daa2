"""`ambit access review`: what an auditor asks for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.access_readers import recorded
from cli.context import Context, command
from cli.store import opened

if TYPE_CHECKING:
    from rich.console import Console

    from policies.review import Review

_SHOWN = 20


def register(group: typer.Typer) -> None:
    """Adds the command."""
    command(group, "review")(review)


def review(
    context: Context,
    group: Annotated[str | None, typer.Option("--group", help="Only its members, to any depth.")] = None,
    format_: Annotated[
        Literal["text", "csv", "html"], typer.Option("--format", help="text, csv, or html for one page.")
    ] = "text",
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="Days of usage to look at.")] = 90,
    open_to_all: Annotated[
        str, typer.Option("--open-to-all", help="Highest classification that everyone may be shown.")
    ] = "internal",
) -> None:
    """Say who can read what, why and when they last did; unused grants; what is open to all; names that mean nobody."""
    from policies.review import review as made
    from policies.review_pages import to_csv, to_html

    with opened(context) as store:
        with store.db.read() as session:
            found = made(session, store.tenant, group=group, days=days, highest=open_to_all)
        recorded(store, "access.review", {"group": group, "days": days, "lines": len(found.lines)})
    if format_ == "text" or context.json:
        context.emit(found.as_dict(), lambda out: _show(out, found))
    else:
        sys.stdout.write(to_csv(found) if format_ == "csv" else to_html(found))


def _show(out: Console, found: Review) -> None:
    """The counts, and the beginning of each kind of line."""
    from rich.text import Text

    out.print(Text(f"{found.people} people, {found.group or 'everybody'}, since {found.since.date().isoformat()}"))
    for kind in ("access", "unused_grant", "exposed", "orphan", "cycle", "no_entry", "break_glass"):
        lines = [one for one in found.lines if one.kind == kind]
        out.print(Text(f"{kind.replace('_', ' ')}: {len(lines)}", style="bold"))
        for one in lines[:_SHOWN]:
            place = f"{one.source}:{one.place}" if one.source else ""
            used = f"last {one.last_used.date().isoformat()}" if one.last_used else ""
            why = one.by if one.by.startswith("rule ") else one.path or one.by
            parts = (one.person, place, why, one.label, used, one.note)
            out.print(Text("  " + "  ".join(part for part in parts if part)))
        if len(lines) > _SHOWN:
            out.print(Text(f"  and {len(lines) - _SHOWN} more; --format csv holds all", style="dim"))
