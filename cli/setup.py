"""`ambit init` and `ambit version`."""

from __future__ import annotations

import typer

from cli.context import Context, command


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "init")(init)
    command(app, "version")(version)


def init(context: Context) -> None:
    """Make the data folder, the database, the keys and the tenant; safe to run again."""
    from api.runtime import Runtime
    from migrations.runner import current, head

    settings = context.settings
    before = current(settings.sql_url)
    runtime = Runtime(settings)
    try:
        runtime.prepare()
        runtime.keyring.derive("audit")
    finally:
        runtime.close()
    state = "made" if before is None else "up to date" if before == head() else "brought up to date"
    data = {"data_dir": str(settings.data_dir), "tenant": settings.tenant, "schema": head(), "state": state}

    def show(out: object) -> None:
        context.out.print(f"{settings.data_dir}: {state}, tenant {settings.tenant}", markup=False)
        context.out.print("Keep a copy of the file `keys` there: without it stored secrets and API keys are lost.")
        context.out.print("\nNext:")
        for line in (
            "ambit apply examples/company   register people, groups and sources",
            "ambit sync                     ingest them",
            "ambit ask 'How many days may I work from home?' --as ana",
            "ambit serve                    run the API, and the worker beside it",
        ):
            context.out.print(f"  {line}", markup=False)

    context.emit(data, show)


def version(context: Context) -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    number = installed("ambit")
    context.emit({"version": number}, lambda out: out.print(f"ambit {number}", markup=False))
