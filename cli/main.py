"""The `ambit` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import importlib

import typer

from cli.context import DATA_DIR, JSON, TENANT, given

GROUPS = (
    "setup", "serve", "configure", "approvals", "audit", "sync", "runs", "status", "ask", "access", "groups",
    "directories", "keys", "sources", "connectors", "catalogue", "doctor", "demo_command", "index", "reembed",
    "evaluate", "erase",
)  # fmt: skip

app = typer.Typer(
    name="ambit",
    help="Answers each person only from what that person may read.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def options(json_: JSON = False, data_dir: DATA_DIR = None, tenant: TENANT = None) -> None:
    """Answers each person only from what that person may read."""
    given.json, given.data_dir, given.tenant = json_, data_dir, tenant


for _group in GROUPS:
    importlib.import_module(f"cli.{_group}").register(app)


def run() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    run()
