"""`ambit demo`."""

from __future__ import annotations

import typer

from cli.context import Context, command


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "demo")(demo)


def demo(context: Context) -> None:
    """Ingest a small company into a fresh folder and ask it questions as different people; needs no network."""
    from cli.demo import run

    raise typer.Exit(run(context))
