"""`ambit runs`: what syncs did, and what to do about what they could not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import Context, command
from cli.store import Store, done, find_source, opened
from core.errors import InvalidError

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from cli.report import RunReport
    from core.tables import Run

RUN = Annotated[str, typer.Argument(help="The run's id, as in run_k3v9….")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Look at syncs and mend what failed.", no_args_is_help=True)
    command(group, "list")(list_)
    command(group, "show")(show)
    command(group, "retry")(retry)
    command(group, "approve")(approve)
    command(group, "reject")(reject)
    command(group, "pause")(pause)
    command(group, "resume")(resume)
    command(group, "cancel")(cancel)
    app.add_typer(group, name="runs")


def list_(
    context: Context,
    source: Annotated[str | None, typer.Option("--source", help="Of this source alone.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Most runs to list.")] = 20,
) -> None:
    """List runs, the newest first."""
    from sqlalchemy import select

    from cli.report import report
    from core.tables import Run

    with opened(context) as store, store.db.read() as session:
        wanted = [Run.tenant_id == store.tenant]
        if source is not None:
            wanted.append(Run.source_id == find_source(session, store.tenant, source).id)
        ids = session.scalars(select(Run.id).where(*wanted).order_by(Run.id.desc()).limit(limit)).all()
        reports = report(session, ids, items=False)
    data = [{name: value for name, value in one.as_dict().items() if name != "items"} for one in reports]
    context.emit({"runs": data}, lambda out: _table(out, reports))


def _table(out: Console, reports: list[RunReport]) -> None:
    from rich.table import Table
    from rich.text import Text

    from cli.report import COLOURS

    table = Table("run", "source", "state", "began", "ingested", "unchanged", "deleted", "failed", box=None)
    for one in reports:
        began = (one.started_at or one.created_at).strftime("%Y-%m-%d %H:%M:%S")
        numbers = (one.counts.get("done", 0), one.unchanged, one.deleted, one.counts.get("failed", 0))
        state = Text(one.state, style=COLOURS.get(one.state, ""))
        table.add_row(one.id, one.source, state, began, *map(str, numbers))
    out.print(table)


def show(context: Context, run: RUN) -> None:
    """Show one run with each file that failed or was passed over, and why."""
    from cli.report import report, told

    with opened(context) as store, store.db.read() as session:
        found = report(session, [_find(session, store, run).id])[0]

    def print_(out: Console) -> None:
        from cli.report import show as show_report

        out.print(told(found), markup=False)
        show_report(out, [found])

    context.emit(found.as_dict(), print_)


def retry(
    context: Context,
    run: Annotated[str | None, typer.Argument(help="The run's id; absent: --source.", show_default=False)] = None,
    source: Annotated[str | None, typer.Option("--source", help="All runs of it.", show_default=False)] = None,
    item: Annotated[str | None, typer.Option("--item", help="This item alone.", show_default=False)] = None,
    code: Annotated[str | None, typer.Option("--code", help="Those with this code alone.", show_default=False)] = None,
) -> None:
    """Put failed items back to work; `ambit serve` or workers take them, else the next `ambit sync`."""
    if (run is None) == (source is None) or (source is not None and item is not None):
        raise InvalidError("name a run, or a source with --source (which goes without --item)")
    with opened(context) as store:
        if run is not None:
            count = done(store, "run.retry", run=run, item=item, code=code).told["count"]
        else:
            count = done(store, "source.retry", key=_source(store, source or ""), code=code).told
        _wake(context, store, "parse")
    context.emit(
        {"run": run, "source": source, "retried": count}, lambda out: out.print(f"{count} items wait for work again")
    )


def approve(context: Context, run: RUN) -> None:
    """Let a held run delete what its listing did not show, and show documents to more people."""
    with opened(context) as store:
        count = done(store, "run.approve", run=run).told["count"]
        _wake(context, store, "finish")
        _wake(context, store, "place")
    context.emit({"run": run, "documents": count}, lambda out: out.print(f"{count} documents approved"))


def reject(
    context: Context,
    run: RUN,
    reason: Annotated[str, typer.Option("--reason", help="Kept with the run and in the audit.")] = "",
) -> None:
    """End a held run: nothing is deleted, nobody gains anything; the next sync looks again."""
    _change(context, run, "reject", "cancelled", reason=reason)


def pause(context: Context, run: RUN) -> None:
    """Begin nothing of a run until it is resumed; what is in hand ends."""
    _change(context, run, "pause", "paused")


def resume(context: Context, run: RUN) -> None:
    """Let a paused run go on from where it was."""
    _change(context, run, "resume", "going on")


def cancel(context: Context, run: RUN) -> None:
    """Stop a run; what is done stays, what a held run hid is shown again."""
    _change(context, run, "cancel", "cancelled")


def _change(context: Context, run: str, verb: str, state: str, **more: str) -> None:
    with opened(context) as store:
        done(store, f"run.{verb}", run=run, **more)
        for stage in ("list", "parse", "place"):
            _wake(context, store, stage)
    context.emit({"run": run, "state": state}, lambda out: out.print(f"{run} is {state}", markup=False))


def _source(store: Store, name: str) -> str:
    """The key of a source; where there is none, the message lists those there are."""
    with store.db.read() as session:
        return find_source(session, store.tenant, name).key


def _find(session: Session, store: Store, run: str) -> Run:
    from ingest.runs import find_run

    return find_run(session, store.tenant, run)


def _wake(context: Context, store: Store, stage: str) -> None:
    """Workers at a broker are told; threads of a server look by themselves."""
    if context.settings.broker_url is not None:
        from workers.tasks import waker

        waker(context.settings)(stage)
    else:
        store.runtime.pipeline.wake(stage)
