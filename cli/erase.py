"""`ambit erase`: a document, source or person removed without a trace, and the scan that proves it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import OK, PARTIAL, Context, command, counted
from cli.store import Store, done, opened
from core.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from rich.console import Console

LOOK_S = 0.1
DOCUMENT = Annotated[str, typer.Argument(help="Public id, or source:id at the source, as in files:hr/salaries.xlsx.")]
SOURCE = Annotated[str, typer.Argument(help="The source's id; one that was deleted before, too.")]
PERSON = Annotated[str, typer.Argument(help="An id or address that they have or had.")]
ID = Annotated[str, typer.Argument(help="The id, as in era_….")]
REASON = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
YES = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]
RETURN = Annotated[bool, typer.Option("--may-return", help="Let the next sync take it in again.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Remove a document, source or person without a trace, and prove it.", no_args_is_help=True)
    command(group, "document")(document)
    command(group, "source")(source)
    command(group, "person")(person)
    command(group, "list")(list_)
    command(group, "show")(show)
    command(group, "verify")(verify)
    command(group, "readmit")(readmit)
    app.add_typer(group, name="erase")


def document(
    context: Context, name: DOCUMENT, *, reason: REASON = "", may_return: RETURN = False, yes: YES = False
) -> None:
    """Erase a document; its source's syncs pass over it from then on. Exit status: 1 if something is left."""
    from cli.store import find_document

    with opened(context) as store:
        with store.db.read() as session:
            key = find_document(session, store.tenant, name).public_id
        _confirm(context, f"document {name}", yes=yes)
        _erase(context, store, "document.erase", key=key, reason=reason, may_return=may_return)


def source(context: Context, name: SOURCE, *, reason: REASON = "", yes: YES = False) -> None:
    """Erase a source with every document, place, entry and run of it. Exit status: 1 if something is left."""
    with opened(context) as store:
        _confirm(context, f"source {name} and all its documents", yes=yes)
        _erase(context, store, "source.erase", key=name, reason=reason)


def person(context: Context, name: PERSON, *, reason: REASON = "", yes: YES = False) -> None:
    """Erase a person, who may be gone already; a token stands in their stead. Exit status: 1 if something is left."""
    with opened(context) as store:
        _confirm(context, f"person {name}", yes=yes)
        _erase(context, store, "user.erase", key=name, reason=reason)


def list_(context: Context) -> None:
    """List what was erased, the newest first."""
    from sqlalchemy import select

    from api.schemas.erasures import ErasureView
    from core.tables import Erasure

    with opened(context) as store, store.db.read() as session:
        rows = session.scalars(select(Erasure).where(Erasure.tenant_id == store.tenant).order_by(Erasure.id.desc()))
        data = [ErasureView.of(row).model_dump(mode="json") for row in rows]

    def shown(out: Console) -> None:
        for one in data:
            out.print(_line(one), markup=False)
        if not data:
            out.print("nothing was erased", markup=False)

    context.emit({"erasures": data}, shown)


def show(context: Context, erasure: ID) -> None:
    """Show one with its proof. Exit status: 1 if something is left."""
    with opened(context) as store:
        data = _read(store, erasure)
    _emit(context, data)


def verify(context: Context, erasure: ID) -> None:
    """Strike and scan once more, after what was left has been changed. Exit status: 1 if something is left still."""
    with opened(context) as store:
        _erase(context, store, "erasure.verify", key=erasure)


def readmit(context: Context, name: DOCUMENT) -> None:
    """Let an erased document in again, with the next sync that lists it."""
    key, colon, external = name.partition(":")
    if not colon:
        raise InvalidError(f"{name!r} names no source; write source:id at the source, as in files:hr/salaries.xlsx")
    with opened(context) as store:
        done(store, "erasure.readmit", key=key, id=external)
    context.emit({"readmitted": name}, lambda out: out.print(f"{name} may come back", markup=False))


def _confirm(context: Context, what: str, *, yes: bool) -> None:
    if yes:
        return
    if context.json:
        raise InvalidError("--json asks nobody; add --yes")
    typer.confirm(f"Erase {what} for good?", abort=True)


def _erase(context: Context, store: Store, operation: str, **args: Any) -> None:
    """Begins it, and stays until it is proven or somebody has to do something."""
    from cli.sync import working

    with working(context, store) as worked_on:
        begun = done(store, operation, **args).told
        store.runtime.pipeline.wake("purge")
        data = _wait(store, begun["id"], worked_on)
    _emit(context, data)


def _wait(store: Store, name: str, worked_on: Callable[[], bool]) -> dict[str, Any]:
    while (data := _read(store, name))["state"] == "erasing":
        if not worked_on():
            raise UnavailableError(f"nobody works any more; {name} goes on when `ambit serve` or a worker runs again")
        time.sleep(LOOK_S)
    return data


def _read(store: Store, name: str) -> dict[str, Any]:
    from api.schemas.erasures import ErasureView
    from ingest.erasure.asking import find_erasure

    with store.db.read() as session:
        return ErasureView.of(find_erasure(session, store.tenant, name)).model_dump(mode="json")


def _emit(context: Context, data: dict[str, Any]) -> None:
    context.emit(data, lambda out: _shown(out, data))
    raise typer.Exit(PARTIAL if data["state"] == "left" else OK)


def _line(data: dict[str, Any]) -> str:
    return f"{data['id']}  {data['state']:<8}  {data['kind']} {data['target']}  {data['created_at'][:19]}"


def _shown(out: Console, data: dict[str, Any]) -> None:
    out.print(_line(data), markup=False)
    proof = data["proof"]
    if "scanned" not in proof:
        waits = f"; it waits: {proof['waits']}" if "waits" in proof else ""
        out.print(f"not ended{waits}", markup=False)
        return
    struck = {name: count for name, count in data["done"].items() if "." in name}
    removed = sum(data["done"].values()) - sum(struck.values())
    out.print(f"{counted(removed, 'row', 'rows')} removed, {counted(sum(struck.values()), 'value', 'values')} struck")
    looked = ", ".join(counted(count, name.removesuffix("s"), name) for name, count in proof["scanned"].items())
    out.print(f"looked through {looked}: {'nothing is left' if data['state'] == 'proven' else 'something is left'}")
    for name, count in proof["left"].items():
        out.print(f"  left: {name}: {count}", markup=False)
    for name, count in proof["written"].items():
        out.print(f"  written by an administrator, to be changed: {name}: {count}", markup=False)
    if proof["content"]:
        told = f" ({', '.join(proof['documents'])})" if proof["documents"] else ""
        out.print(f"  told and left as it is: {', '.join(proof['content'])}{told}", markup=False)
    if proof["copies"]:
        out.print(f"  the same text stands in {', '.join(proof['copies'])}", markup=False)
