"""`ambit access break-glass`: emergency access, opened, listed and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, command
from cli.store import Store, done, opened

if TYPE_CHECKING:
    from rich.console import Console

SOURCES = Annotated[list[str] | None, typer.Option("--source", help="A whole source; may be repeated.")]
PLACES = Annotated[list[str] | None, typer.Option("--node", help="A place, as in files:hr; may be repeated.")]


def register(group: typer.Typer) -> None:
    """Adds the command."""
    command(group, "break-glass")(break_glass)


def break_glass(
    context: Context,
    *,
    user: Annotated[str | None, typer.Option("--user", help="To whom: an id or e-mail.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the audit.")] = None,
    for_: Annotated[str, typer.Option("--for", help="How long, as in 30m or 1h.")] = "1h",
    source: SOURCES = None,
    node: PLACES = None,
    end: Annotated[str | None, typer.Option("--end", help="End the one of this id before its time.")] = None,
) -> None:
    """Open reading to one person in an emergency, for a time; with --end end it; with nothing list what is open."""
    from core.errors import InvalidError

    with opened(context) as store:
        if end is not None:
            context.emit(told := ended(store, end), lambda out: out.print(f"{told['id']} is over", markup=False))
            return
        if user is None:
            data = standing(store)
            context.emit({"break_glass": data}, lambda out: show(out, data))
            return
        if reason is None:
            raise InvalidError("emergency access needs --reason")
        places = [*(f"{one}:" for one in source or ()), *(node or ())]
        told = opened_for(store, {"user": user, "places": places, "reason": reason, "for_s": _seconds(for_)})
    context.emit(told, lambda out: show(out, [told]))


def standing(store: Store) -> list[dict[str, Any]]:
    """What is open now."""
    from core.db import now
    from policies.break_glass import glass_as_dict, standing_glass

    with store.db.read() as session:
        at = now(session)
        return [glass_as_dict(one, at) for one in standing_glass(session, store.tenant)]


def opened_for(store: Store, args: dict[str, Any]) -> dict[str, Any]:
    """Opens."""
    return _performed(store, "break_glass.open", args)


def ended(store: Store, name: str) -> dict[str, Any]:
    """Ends."""
    return _performed(store, "break_glass.end", {"id": name})


def show(out: Console, data: list[dict[str, Any]]) -> None:
    """What is open, for people."""
    from rich.text import Text

    for one in data:
        told = f"BREAK-GLASS {one['id']}: {one['user']} may read {', '.join(one['places'])} until {one['ends_at']}"
        out.print(Text(f"{told} ({one['reason']}; by {one['opened_by']})", style="bold red"))
    if not data:
        out.print("no emergency access is open", markup=False)


def _performed(store: Store, operation: str, args: dict[str, Any]) -> dict[str, Any]:
    from core.telemetry import logger

    told: dict[str, Any] = done(store, operation, **args).told
    logger().warning(operation, tenant=store.tenant, kind=told["id"])
    return told


def _seconds(text: str) -> int:
    from api.declare.shapes import duration_s
    from core.errors import InvalidError

    try:
        return duration_s(text)
    except ValueError as error:
        raise InvalidError(f"--for {text!r}: {error}") from None
