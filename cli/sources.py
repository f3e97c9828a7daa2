"""`ambit sources`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.context import Context, command
from cli.store import all_sources, done, opened

SOURCE = Annotated[str, typer.Argument(help="The source's id.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    group = typer.Typer(help="Look at the registered sources.", no_args_is_help=True)
    command(group, "list")(list_)
    command(group, "pause")(pause)
    command(group, "resume")(resume)
    app.add_typer(group, name="sources")


def list_(context: Context) -> None:
    """List the registered sources."""
    from rich.table import Table

    from api.declare.differences import shown
    from api.declare.present import source_body

    with opened(context) as store, store.db.read() as session:
        found = all_sources(session, store.tenant)
        data = [{"id": one.key, "state": one.state, **shown(source_body(one))} for one in found]

    def show(_: object) -> None:
        table = Table("source", "connector", "state", "folder", "schedule", box=None)
        for one in data:
            schedule = ", ".join(f"{kind} {times}" for kind, times in one["schedule"].items()) or "by hand"
            table.add_row(one["id"], one["connector"], one["state"], one["base"], schedule)
        context.out.print(table)

    context.emit({"sources": data}, show)


def pause(context: Context, source: SOURCE) -> None:
    """Begin nothing of a source until it is resumed; what is in hand ends, what is in stays readable."""
    _set(context, source, paused=True)


def resume(context: Context, source: SOURCE) -> None:
    """Let a paused source go on from where it was."""
    _set(context, source, paused=False)


def _set(context: Context, source: str, *, paused: bool) -> None:
    with opened(context) as store:
        told = done(store, "source.change", key=source, body={"paused": paused}).told
    state = told.state
    context.emit({"source": source, "state": state}, lambda out: out.print(f"{source} is {state}", markup=False))
