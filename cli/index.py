"""`ambit index`: hold the vector index against SQL, and mend it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from cli.context import OK, PARTIAL, Context, command

if TYPE_CHECKING:
    from rich.console import Console

    from ingest.reconcile import Differences


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Hold the vector index against SQL, and mend it.", no_args_is_help=True)
    command(group, "verify")(verify)
    command(group, "repair")(repair)
    app.add_typer(group, name="index")


def verify(context: Context) -> None:
    """Compare the index with SQL; nothing is written. Exit status: 1 if they differ."""
    from cli.store import opened
    from ingest.reconcile import verify as compare

    _refuse_while_serving(context)
    with opened(context) as store:
        found = compare(store.runtime.pipeline)
    context.emit(
        {"agree": found.agree, **asdict(found)}, lambda out: _show(out, found, "`ambit index repair` mends it")
    )
    raise typer.Exit(OK if found.agree else PARTIAL)


def repair(context: Context) -> None:
    """Make the index what SQL says, from stored texts. Exit status: 1 if something is left."""
    from cli.store import opened
    from ingest.reconcile import repair as mend
    from ingest.reconcile import verify as compare

    _refuse_while_serving(context)
    with opened(context) as store:
        found = mend(store.runtime.pipeline)
        left = found if found.agree else compare(store.runtime.pipeline)

    def show(out: Console) -> None:
        _show(out, found, "mended" if left.agree else "not all of it could be mended; run it again")

    context.emit({"agree": left.agree, "found": asdict(found), "left": asdict(left)}, show)
    raise typer.Exit(OK if left.agree else PARTIAL)


def _refuse_while_serving(context: Context) -> None:
    """An embedded index is its server's alone.

    Raises:
        ConflictError: a server holds it.
    """
    from cli.serving import found
    from core.errors import ConflictError

    serving = found(context.settings.data_dir)
    if serving is not None and context.settings.embedded_index:
        raise ConflictError(
            f"`ambit serve` (pid {serving.pid}) holds the index; it compares counts when it starts, everything once a "
            "day, and mends by itself; stop it to do this by hand"
        )


def _show(out: Console, found: Differences, then: str) -> None:
    told = asdict(found)
    points, busy = told.pop("points"), told.pop("busy")
    wrong = ", ".join(f"{count} {kind}" for kind, count in told.items() if count)
    being = f", {busy} being worked on" if busy else ""
    verdict = f"{wrong}; {then}" if wrong else "index and SQL agree"
    out.print(f"{points} points{being}: {verdict}", markup=False)
