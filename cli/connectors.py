"""`ambit connectors`: which there are, what each takes, and a working start for one of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.context import Context, command

NAME = Annotated[str, typer.Argument(help="The connector's name.")]
INTO = Annotated[Path, typer.Option("--into", help="Folder to write the new project in.", show_default="NAME")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Look at the installed connectors, or begin a new one.", no_args_is_help=True)
    command(group, "list")(list_)
    command(group, "describe")(describe)
    command(group, "new")(new)
    app.add_typer(group, name="connectors")


def list_(context: Context) -> None:
    """List the installed connectors, also those of other packages."""
    from rich.table import Table

    from core.errors import InvalidError
    from ingest.connectors import registry

    data = []
    for name in registry.names():
        try:
            found = registry.describe(name)
            data.append({"name": name, "title": found.title, "summary": found.summary})
        except InvalidError as error:
            data.append({"name": name, "title": "cannot be loaded", "summary": error.detail})

    def show(_: object) -> None:
        table = Table("connector", "title", "what it reads", box=None)
        for one in data:
            table.add_row(one["name"], one["title"], one["summary"])
        context.out.print(table)

    context.emit({"connectors": data}, show)


def describe(context: Context, name: NAME) -> None:
    """Show what a connector takes; with --json its JSON Schema."""
    from rich.table import Table as Printed
    from rich.text import Text

    from ingest.connectors import registry
    from ingest.connectors.describe import tables

    found = registry.describe(name)
    data = {"name": found.name, "title": found.title, "summary": found.summary, "schema": found.schema}

    def show(_: object) -> None:
        context.out.print(Text(f"{found.title}: {found.summary}"))
        for table in tables(found.schema):
            if table.name:
                context.out.print(Text(f"\n{table.name.strip('`')}: {table.meaning}"))
            printed = Printed("key", "type", "default", "meaning", box=None)
            for one in table.settings:
                default = "required" if one.default is None else one.default or "none"
                printed.add_row(*(Text(text.replace("`", "")) for text in (one.key, one.kind, default, one.meaning)))
            context.out.print(printed)

    context.emit(data, show)


def new(context: Context, name: NAME, into: INTO = Path()) -> None:
    """Write a connector that works, with tests that pass, to change into your own."""
    from ingest.connectors.skeleton import write_skeleton

    target = into if into != Path() else Path(name)
    files = write_skeleton(name, target)

    def show(_: object) -> None:
        context.out.print(f"wrote {len(files)} files in {target}; next:", markup=False)
        for line in (f"pip install -e {target}", f"pytest {target}", f"ambit connectors describe {name}"):
            context.out.print(f"  {line}", markup=False)

    context.emit({"name": name, "folder": str(target), "files": files}, show)
