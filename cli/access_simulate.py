"""`ambit access simulate`: who would gain or lose what, before a change is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.access_readers import APP, recorded
from cli.context import Context, command, counted
from cli.store import Store, opened

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from api.declare import Declared, Difference
    from policies.proposals import Proposal

PATH = Annotated[Path | None, typer.Argument(help="What `ambit plan` takes: a YAML file or a folder of them.")]
PLACE = "PLACE=PRINCIPAL, as in files:hr=group:temps; files: is the root."
Pairs = list[str] | None


def register(group: typer.Typer) -> None:
    """Adds the command."""
    command(group, "simulate")(simulate)


def simulate(
    context: Context,
    path: PATH = None,
    *,
    prune: Annotated[bool, typer.Option("--prune", help="As if what is not declared were deleted.")] = False,
    allow: Annotated[Pairs, typer.Option("--allow", help=f"An admin's entry: {PLACE}")] = None,
    deny: Annotated[Pairs, typer.Option("--deny", help=f"An admin's entry: {PLACE}")] = None,
    join: Annotated[Pairs, typer.Option("--join", help="GROUP=PRINCIPAL that would be in it.")] = None,
    leave: Annotated[Pairs, typer.Option("--leave", help="GROUP=PRINCIPAL that would be in it no longer.")] = None,
    app: APP = None,
) -> None:
    """Say who would gain or lose which documents by a change, without making it; nothing is locked or written."""
    from api import declare
    from core.errors import InvalidError

    declared = declare.load(path) if path else []
    rows = _proposal(allow, deny, join, leave)
    if not declared and rows is None:
        raise InvalidError("there is nothing to simulate; name a PATH, or --allow, --deny, --join or --leave")
    with opened(context) as store:
        with store.db.read() as session:
            told = simulated(session, store, declared, prune=prune, rows=rows, app=app)
        recorded(store, "access.simulate", {"path": str(path) if path else None, "app": app, "epoch": told["epoch"]})
    context.emit(told, lambda out: show(out, told))


def simulated(
    session: Session,
    store: Store,
    declared: Sequence[Declared],
    *,
    prune: bool = False,
    rows: Proposal | None = None,
    app: str | None = None,
) -> dict[str, Any]:
    """What applying these documents and rows would change in who reads what."""
    from policies import simulate as engine

    change = _change(store, declared, prune=prune, rows=rows)
    return engine.simulate(session, store.tenant, change, app=app).as_dict()


def decisive(differences: Sequence[Difference]) -> bool:
    """Whether a plan changes anything that may decide who reads what."""
    return any(one.kind not in ("Model", "Route", "Budget") and one.action != "unchanged" for one in differences)


def _change(
    store: Store, declared: Sequence[Declared], *, prune: bool, rows: Proposal | None
) -> Callable[[Session], None]:
    from api import declare

    def change(copy: Session) -> None:
        if declared:
            declare.apply(copy, store.tenant, declared, prune, audit=store.runtime.audit)
        if rows is not None:
            rows.make(copy, store.tenant)

    return change


def _proposal(allow: Pairs, deny: Pairs, join: Pairs, leave: Pairs) -> Proposal | None:
    from policies.proposals import Proposal, ProposedEntry

    if not (allow or deny or join or leave):
        return None
    allows = [ProposedEntry(*_pair(one), effect="allow") for one in allow or ()]
    denies = [ProposedEntry(*_pair(one), effect="deny") for one in deny or ()]
    return Proposal(
        entries=(*allows, *denies),
        join=tuple(_pair(one) for one in join or ()),
        leave=tuple(_pair(one) for one in leave or ()),
    )


def _pair(text: str) -> tuple[str, str]:
    """Both sides of the last `=`.

    Raises:
        InvalidError: a side is missing.
    """
    from core.errors import InvalidError

    left, equals, right = text.rpartition("=")
    if not (equals and left and right):
        raise InvalidError(f"{text!r} is no pair; write it as in files:hr=group:temps")
    return left, right


def show(out: Console, told: dict[str, Any]) -> None:
    """Gains and losses, for people."""
    from rich.text import Text

    for name, word, colour in (("gains", "would gain", "yellow"), ("losses", "would lose", "red")):
        side = told[name]
        if not side["people"]:
            continue
        people, documents = _people(side["people"]), counted(side["documents"], "document", "documents")
        out.print(Text(f"{people} {word} {documents}", style=colour))
        for one in side["samples"]:
            out.print(Text(f"  {one['user']}: {one['documents']}, as in {', '.join(one['samples'][:3])}"))
    if not told["gains"]["people"] and not told["losses"]["people"]:
        out.print("nobody would gain or lose a document", markup=False)
    if not told["complete"]:
        out.print("not everybody was asked about: the change touches too many different people", markup=False)
    out.print(Text(f"of {_people(told['people'])}, at policy epoch {told['epoch']}; nothing was written", style="dim"))


def _people(number: int) -> str:
    return counted(number, "person", "people")
