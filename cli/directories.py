"""`ambit directories`: LDAP servers whose users and groups are copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, command
from cli.store import Store, opened

if TYPE_CHECKING:
    from rich.console import Console

    from ingest.directories.sync import Parts

KEY = Annotated[str, typer.Argument(help="The directory's id.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Look at directories, try them, and sync them.", no_args_is_help=True)
    command(group, "list")(list_)
    command(group, "check")(check)
    command(group, "sync")(sync)
    app.add_typer(group, name="directories")


def list_(context: Context) -> None:
    """List the directories, how the last sync of each went, and how old their data is."""
    from api.directory_copies import directory_views

    with opened(context) as store, store.db.read() as session:
        data = directory_views(session, store.tenant)
    context.emit({"directories": data}, lambda out: show_directories(out, data))


def show_directories(out: Console, data: list[dict[str, Any]]) -> None:
    """A table of directories; one whose data is too old is red."""
    from rich.table import Table
    from rich.text import Text

    from cli.status import age

    table = Table("directory", "server", "last sync", "told", "data", box=None)
    for one in data:
        counts = (f"{one['told'][name]} {name}" for name in ("users", "groups") if name in one["told"])
        told = one["told"].get("detail") or ", ".join(counts)
        table.add_row(one["id"], one["url"], one["outcome"], Text(told), age(one["access"]))
    out.print(table)


def check(context: Context, directory: KEY) -> None:
    """Read a directory and say what is there; nothing is changed."""
    from ingest.directories.sync import check_directory

    with opened(context) as store:
        data = check_directory(_parts(store), store.tenant, directory)
    said = f"{directory}: {data['users']} users and {data['groups']} groups"
    context.emit(data, lambda out: out.print(said, markup=False))


def sync(
    context: Context,
    directory: KEY,
    approve: Annotated[bool, typer.Option("--approve", help="However much it removes.")] = False,
) -> None:
    """Read a directory and take it over; it holds from the next query on."""
    from ingest.directories.sync import sync_directory

    with opened(context) as store:
        data = sync_directory(_parts(store), store.tenant, directory, approve=approve).as_dict()
    said = (
        f"{directory}: {data['users']} users and {data['groups']} groups; "
        f"{data['removed_users']} users and {data['removed_groups']} groups removed"
    )

    def show(out: Console) -> None:
        out.print(said, markup=False)
        for name in data["taken"]:
            out.print(f"not taken over, since another has it: {name}", markup=False)

    context.emit(data, show)


def _parts(store: Store) -> Parts:
    from ingest.directories.sync import Parts

    runtime = store.runtime
    return Parts(runtime.settings, runtime.db, runtime.keyring)
