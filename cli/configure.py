"""`ambit plan` and `ambit apply`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, command
from cli.store import opened

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from api.declare import Declared, Difference
    from cli.store import Store

PATH = Annotated[Path, typer.Argument(help="A YAML file, or a folder whose *.yaml are read.")]
PRUNE = Annotated[bool, typer.Option("--prune", help="Delete what is not declared.")]
_SIGNS = {"create": ("+", "green"), "change": ("~", "yellow"), "delete": ("-", "red")}


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "plan")(plan)
    command(app, "apply")(apply)


def plan(context: Context, path: PATH, prune: PRUNE = False) -> None:
    """Show what `apply` would change, and who would gain or lose which documents; writes nothing."""
    from api import declare
    from cli.access_simulate import decisive, simulated
    from cli.access_simulate import show as show_access

    declared = declare.load(path)
    with opened(context) as store, store.db.read() as session:
        differences = declare.plan(session, store.tenant, declared, prune)
        access = simulated(session, store, declared, prune=prune) if decisive(differences) else None
        held = access is not None and _held(session, store, declared, prune=prune)
        stated = {one.id: one.body["groups"] for one in declared if one.kind == "Group"}
        told_cycles(context, session, store, stated)
    _left_out(context, path)

    def show(out: Console) -> None:
        _show(out, differences, applied=False)
        if access is not None:
            show_access(out, access)
        if held:
            out.print("apply would be held: it widens access so far that it needs a second person", style="yellow")

    context.emit({**_as_data(differences, applied=False), "access": access, "held": held}, show)


def _held(session: Session, store: Store, declared: Sequence[Declared], *, prune: bool) -> bool:
    """Whether `apply` would wait for a second person."""
    from api import declare
    from api.making import limits
    from policies.widening import would_widen

    def change(copy: Session) -> None:
        declare.apply(copy, store.tenant, declared, prune, audit=store.runtime.audit)

    return would_widen(session, store.tenant, change, limits(store.runtime.settings)).held


def apply(
    context: Context,
    path: PATH,
    prune: PRUNE = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Make what is declared stand, in one transaction; applying twice changes nothing."""
    from api import declare
    from api.actors import at_the_machine
    from api.changes import Asked, perform
    from api.operations_config import documents
    from core.errors import ConflictError

    declared = declare.load(path)
    with opened(context) as store:
        with store.db.read() as session:
            planned = declare.plan(session, store.tenant, declared, prune)
        _left_out(context, path)
        if any(one.action == "delete" for one in planned) and not yes:
            _confirm(context, planned)

        def check(session: Session) -> None:
            now = declare.plan(session, store.tenant, declared, prune)
            if not yes and _deletions(now) - _deletions(planned):
                raise ConflictError("more would be deleted now than was shown; look at `ambit plan --prune` again")

        asked = Asked("config.apply", {"documents": documents(declared), "prune": prune})
        done = perform(store.runtime, at_the_machine(store.tenant), asked, check=check).told
        with store.db.read() as session:
            told_cycles(context, session, store)
    context.emit(_as_data(done, applied=True), lambda out: _show(out, done, applied=True))
    if any(one.kind == "Source" and one.action in ("create", "change") for one in done):
        context.note("Sources changed: `ambit sync` brings their documents and access up to date.")


def told_cycles(
    context: Context, session: Session, store: Store, stated: Mapping[str, Collection[str]] = MappingProxyType({})
) -> None:
    """A remark on groups that hold one another; `stated` as `policies.cycles.cycles` takes it."""
    from policies.cycles import cycles

    for groups in cycles(session, store.tenant, stated):
        told = f"the group {groups[0]} holds itself" if len(groups) == 1 else f"{', '.join(groups)} hold one another"
        context.note(f"warning: {told}, so whoever is in one is in all; that is accepted")


def _deletions(differences: Sequence[Difference]) -> set[tuple[str, str]]:
    return {(one.kind, one.id) for one in differences if one.action == "delete"}


def _confirm(context: Context, planned: Sequence[Difference]) -> None:
    """Asks a person at a terminal; anyone else must say --yes."""
    import sys

    from core.errors import ConflictError

    if context.json or not sys.stdin.isatty():
        names = ", ".join(f"{kind}/{key}" for kind, key in sorted(_deletions(planned)))
        raise ConflictError(f"this would delete {names}; say --yes if that is meant")
    _show(context.out, planned, applied=False)
    typer.confirm("Apply this?", abort=True)


def _left_out(context: Context, path: Path) -> None:
    from api import declare

    for file in declare.left_out(path):
        context.note(f"left out: {file} (no document with a kind)")


def _as_data(differences: Sequence[Difference], *, applied: bool) -> dict[str, Any]:
    counts: dict[str, int] = dict.fromkeys(("create", "change", "delete", "unchanged"), 0)
    for one in differences:
        counts[one.action] += 1
    return {"applied": applied, "counts": counts, "differences": [one.as_dict() for one in differences]}


def _show(out: Console, differences: Sequence[Difference], *, applied: bool) -> None:
    from rich.text import Text

    for one in differences:
        if one.action == "unchanged":
            continue
        sign, colour = _SIGNS[one.action]
        out.print(Text(f"{sign} {one.kind} {one.id}", style=colour))
        for field in one.fields:
            before = "" if one.action == "create" else f"{_plain(field.before)} → "
            out.print(Text(f"    {field.field}: {before}{_plain(field.after)}"))
    counts = _as_data(differences, applied=False)["counts"]
    words = ("created", "changed", "deleted") if applied else ("to create", "to change", "to delete")
    told = ", ".join(f"{counts[name]} {word}" for name, word in zip(_SIGNS, words, strict=True))
    out.print(f"{told}; {counts['unchanged']} unchanged", markup=False)


def _plain(value: Any) -> str:
    import json

    return "absent" if value is None else json.dumps(value, ensure_ascii=False)
