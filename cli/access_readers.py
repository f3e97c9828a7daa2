"""`ambit access who-can-read` and `ambit access history`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, command, counted
from cli.store import Store, find_document, opened

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session


DOCUMENT = Annotated[str, typer.Argument(help="A public id, or source:path as in files:hr/salaries.xlsx.")]
APP = Annotated[str | None, typer.Option("--app", help="Through which app; absent: none.")]


def register(group: typer.Typer) -> None:
    """Adds the commands."""
    command(group, "who-can-read")(who_can_read)
    command(group, "history")(history)


def who_can_read(context: Context, document: DOCUMENT, app: APP = None) -> None:
    """List everyone who can read a document, each with the entry that lets them and the way to it."""
    from policies import readers

    with opened(context) as store:
        with store.db.read() as session:
            found = find_document(session, store.tenant, document)
            told = readers.who_can_read(session, store.tenant, found.id, app=app).as_dict()
            told |= {"document": found.public_id, "external_id": found.external_id}
        recorded(store, "access.who_can_read", {"document": told["document"], "app": app})
    context.emit(told, lambda out: _show(out, told, "can"))


def history(
    context: Context,
    document: DOCUMENT,
    *,
    at: Annotated[str | None, typer.Option("--at", help="A time in ISO 8601, UTC where it names no zone.")] = None,
    epoch: Annotated[int | None, typer.Option("--epoch", help="A policy epoch, as the audit names it.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only this person, explained.")] = None,
    app: APP = None,
) -> None:
    """Say who could read a document at an earlier time, or why one person could or could not."""
    from policies.history import as_of, moment

    with opened(context) as store:
        with store.db.read() as session:
            found = find_document(session, store.tenant, document)
            then = moment(session, store.tenant, at=instant(at), epoch=epoch)
            with as_of(session, store.tenant, then, [found.id]) as past:
                told = _then(past, store.tenant, found.id, user, app)
            told |= {"document": found.public_id, "external_id": found.external_id}
        body = {"document": told["document"], "user": user, "app": app, "at": then.at.isoformat(), "epoch": then.epoch}
        recorded(store, "access.history", body)
    if user is None:
        context.emit(told, lambda out: _show(out, told, "could"))
    else:
        from cli.access import show_explanation

        context.emit(told, lambda out: show_explanation(out, told))


def recorded(store: Store, kind: str, body: dict[str, Any]) -> None:
    """Writes the audit entry of a question, in a transaction of its own; without it nothing is shown."""
    with store.db.write() as session:
        store.runtime.audit.append(session, store.tenant, kind, "local", body)


def _then(past: Session, tenant: int, document: int, user: str | None, app: str | None) -> dict[str, Any]:
    from policies import readers
    from policies.explain import explain
    from policies.subject import Caller, resolve_subject

    if user is None:
        return readers.who_can_read(past, tenant, document, app=app).as_dict()
    return explain(past, resolve_subject(past, Caller(tenant, user, app)), document).as_dict()


def place(key: str) -> str:
    """A place's name for people; what is stated for single documents stands at a place that has no name there."""
    return "the document itself" if key.startswith("=") else key or "the root"


def instant(text: str | None) -> datetime | None:
    """The time that a text names.

    Raises:
        InvalidError: it names none.
    """
    from core.errors import InvalidError

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidError(f"{text!r} is no time; write it as in 2026-03-01T12:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _show(out: Console, told: dict[str, Any], may: str) -> None:
    from rich.text import Text

    everybody = counted(told["people"], "person", "people")
    out.print(Text(f"{told['count']} of {everybody} {may} read {told['external_id']}"))
    if told["shut"]:
        out.print(Text(f"  the source is shut: {told['shut']}", style="red"))
    for one in told["readers"]:
        by = f"{one['by']} at {place(one['node'])} ({one['origin']})" if one["by"] else f"rule {one['rule']}"
        until = f", until {one['expires_at']}" if one["expires_at"] else ""
        out.print(Text(f"  {one['user']}: {by}{until}"))
        if len(one["path"]) > 1:
            out.print(Text("    as " + " → ".join(one["path"]), style="dim"))
    for reason, count in sorted(told["refused"].items()):
        out.print(Text(f"  {count} refused: {reason}", style="dim"))
    out.print(Text(f"  at {told['at']}, policy epoch {told['epoch']}", style="dim"))
