"""`ambit audit`: the audit listed, exported and proven whole."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.access_readers import instant
from cli.context import PARTIAL, Context, command
from cli.store import opened

if TYPE_CHECKING:
    from rich.console import Console

    from api.audit import Wanted

ACTOR = Annotated[str | None, typer.Option("--actor", help="As in user:ana, app:chat, local.", show_default=False)]
ACTION = Annotated[str | None, typer.Option("--action", help="One, or several as in admin.*.", show_default=False)]
SUBJECT = Annotated[str | None, typer.Option("--subject", help="What it names: document:doc_….", show_default=False)]
SINCE = Annotated[str | None, typer.Option("--since", help="A time in ISO 8601.", show_default=False)]
UNTIL = Annotated[str | None, typer.Option("--until", help="Before this time.", show_default=False)]
REQUEST = Annotated[str | None, typer.Option("--request", help="Id of an HTTP request.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Read the audit, export it, and prove it whole.", no_args_is_help=True)
    command(group, "list")(list_)
    command(group, "export")(export)
    command(group, "verify")(verify)
    app.add_typer(group, name="audit")


def list_(
    context: Context,
    *,
    actor: ACTOR = None,
    action: ACTION = None,
    subject: SUBJECT = None,
    since: SINCE = None,
    until: UNTIL = None,
    request: REQUEST = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Most entries to list.")] = 50,
) -> None:
    """List entries, the newest first."""
    from api.audit import page, told

    wanted = _wanted(actor=actor, action=action, subject=subject, since=since, until=until, request=request)
    with opened(context) as store, store.db.read(store.tenant) as session:
        data: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(data) < limit:
            rows, cursor = page(session, store.tenant, wanted, limit=limit - len(data), cursor=cursor)
            data += [told(row) for row in rows]
            if cursor is None:
                break
    context.emit({"entries": data}, lambda out: _show(out, data))


def export(
    context: Context,
    *,
    actor: ACTOR = None,
    action: ACTION = None,
    subject: SUBJECT = None,
    since: SINCE = None,
    until: UNTIL = None,
    request: REQUEST = None,
    to: Annotated[Path | None, typer.Option("--to", help="A new file; absent: standard output.")] = None,
) -> None:
    """Write entries as JSON lines, the oldest first."""
    from api.audit import export as entries
    from api.audit import told

    wanted = _wanted(actor=actor, action=action, subject=subject, since=since, until=until, request=request)
    with opened(context) as store, store.db.read(store.tenant) as session:
        lines = (json.dumps(told(row), ensure_ascii=False) + "\n" for row in entries(session, store.tenant, wanted))
        if to is None:
            sys.stdout.writelines(lines)
            return
        with to.open("x", encoding="utf-8") as out:
            out.writelines(lines)
    context.note(f"written to {to}")


def verify(
    context: Context,
    head: Annotated[
        str | None, typer.Option("--head", help="One that was printed and kept elsewhere.", show_default=False)
    ] = None,
) -> None:
    """Chain what waits, then look at every entry: whether any was changed, moved or taken out; prints the head."""
    from core.audit_chain import chain_tenant, read_head
    from core.audit_chain import verify as look

    anchor = None if head is None else read_head(head)
    with opened(context) as store:
        chain_tenant(store.db, store.runtime.audit, store.tenant)
        with store.db.read(store.tenant) as session:
            found = look(session, store.runtime.audit, store.tenant, anchor)
    context.emit(found.as_dict(), lambda out: _tell(out, found.as_dict()))
    if found.wrong:
        raise typer.Exit(PARTIAL)


def _wanted(*, since: str | None, until: str | None, **rest: str | None) -> Wanted:
    from api.audit import Wanted

    return Wanted(since=instant(since), until=instant(until), **rest)


def _show(out: Console, data: list[dict[str, Any]]) -> None:
    from rich.text import Text

    for one in data:
        named = {name: value for name, value in one["body"].items() if isinstance(value, str | int) and value != ""}
        told = " ".join(f"{name}={value}" for name, value in named.items())
        out.print(Text(f"{one['at'][:19]}  {one['actor']}  {one['action']}  {told}"))
    if not data:
        out.print("no entry fits", markup=False)


def _tell(out: Console, found: dict[str, Any]) -> None:
    for one in found["wrong"]:
        out.print(one, markup=False, style="bold red")
    state = "whole" if found["whole"] else "NOT whole"
    redacted = f", {found['redacted']} of them redacted by an erasure" if found["redacted"] else ""
    out.print(f"the audit is {state}: {found['entries']} entries{redacted}; head {found['head']}", markup=False)
