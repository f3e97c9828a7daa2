"""`ambit sources`."""

from __future__ import annotations

import typer

from cli.context import Context, command
from cli.store import all_sources, opened


def register(app: typer.Typer) -> None:
    """Adds the command."""
    group = typer.Typer(help="Look at the registered sources.", no_args_is_help=True)
    command(group, "list")(list_)
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
            schedule = one["schedule"].get("content", "by hand")
            table.add_row(one["id"], one["connector"], one["state"], one["base"], schedule)
        context.out.print(table)

    context.emit({"sources": data}, show)
