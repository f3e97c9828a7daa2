"""`ambit approvals`: what waits for a second person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, command
from cli.store import Store, opened

if TYPE_CHECKING:
    from rich.console import Console

ID = Annotated[str, typer.Argument(help="The id, as in apr_….")]
NOTE = Annotated[str, typer.Option("--note", help="A word on why, for the audit.")]
ALL = Annotated[bool, typer.Option("--all", help="Decided ones too.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Look at changes that wait for a second person, and decide them.", no_args_is_help=True)
    command(group, "list")(list_)
    command(group, "show")(show)
    command(group, "approve")(approve)
    command(group, "reject")(reject)
    app.add_typer(group, name="approvals")


def list_(context: Context, all_: ALL = False) -> None:
    """List what waits for a second person, the newest first."""
    with opened(context) as store:
        data = [one for one in waiting(store) if all_ or one["state"] == "pending"]

    def shown(out: Console) -> None:
        for one in data:
            out.print(_line(one), markup=False)
        if not data:
            out.print("nothing waits", markup=False)

    context.emit({"approvals": data}, shown)


def show(context: Context, approval: ID) -> None:
    """Show one: what would change, who would gain and lose what, who proposed it and until when it waits."""
    from api import approvals

    with opened(context) as store, store.db.read() as session:
        data = approvals.told(session, approvals.find(session, store.tenant, approval))
    context.emit(data, lambda out: _show(out, data))


def approve(context: Context, approval: ID, note: NOTE = "") -> None:
    """Make the change, if it still does what was shown; as another login than the one that proposed it."""
    _decide(context, approval, note, approved=True)


def reject(context: Context, approval: ID, note: NOTE = "") -> None:
    """End it without making the change."""
    _decide(context, approval, note, approved=False)


def waiting(store: Store) -> list[dict[str, Any]]:
    """Everything that was ever held, the newest first."""
    from sqlalchemy import select

    from api import approvals
    from core.tables import Approval

    with store.db.read() as session:
        rows = session.scalars(select(Approval).where(Approval.tenant_id == store.tenant).order_by(Approval.id.desc()))
        return [approvals.told(session, row) for row in rows.all()]


def _decide(context: Context, approval: str, note: str, *, approved: bool) -> None:
    from api import approvals
    from api.actors import at_the_machine

    with opened(context) as store:
        decide = approvals.approve if approved else approvals.reject
        decide(store.runtime, at_the_machine(store.tenant), approval, note)
        with store.db.read() as session:
            data = approvals.told(session, approvals.find(session, store.tenant, approval))
    context.emit(data, lambda out: out.print(f"{approval} is {data['state']}", markup=False))


def _line(one: dict[str, Any]) -> str:
    effect = one["effect"]
    counts = f"{effect['people']} people, {effect['documents']} documents"
    by = f"{counts}; by {one['proposed_by']}, until {one['expires_at']}"
    return f"{one['id']}  {one['state']}  {one['summary']}  ({by})"


def _show(out: Console, one: dict[str, Any]) -> None:
    from rich.text import Text

    out.print(Text(_line(one)))
    for name, word in (("gains", "would gain"), ("losses", "would lose")):
        for each in one["effect"][name]:
            out.print(Text(f"  {each['user']} {word} {each['documents']}, as in {', '.join(each['samples'][:3])}"))
    if one["effect"]["why"]:
        out.print(Text(f"  not counted: {one['effect']['why']}"))
    if one["decided_by"]:
        out.print(Text(f"  {one['state']} by {one['decided_by']} at {one['decided_at']} {one['note']}"))
