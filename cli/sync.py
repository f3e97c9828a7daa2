"""`ambit sync`: brings sources up to date, here or through whoever holds the work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import FAILED, OK, PARTIAL, Context, command
from cli.progress import follow
from cli.serving import found
from cli.store import Store, all_sources, done, find_source, opened
from core.errors import AmbitError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from cli.report import RunReport
    from core.tables import Source

SOURCES = Annotated[list[str] | None, typer.Argument(help="Sources to sync; absent: all.", show_default=False)]
KIND = Annotated[
    str,
    typer.Option("--kind", help="content: what changed; deletions: list everything; permissions: access data alone."),
]
EVERY = Annotated[float, typer.Option("--every", min=1, help="Seconds between two rounds of --watch.")]
_GOOD = ("succeeded",)
_PARTLY = ("partial",)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "sync")(sync)


def sync(
    context: Context,
    sources: SOURCES = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Sync again and again until interrupted.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change; write nothing.")] = False,
    every: EVERY = 30.0,
    kind: KIND = "content",
) -> None:
    """Bring sources up to date. Exit status: 0 clean, 1 some documents failed, 2 a sync failed or is held."""
    if watch and dry_run:
        raise InvalidError("--watch and --dry-run do not go together")
    with opened(context) as store:
        names = _names(store, sources or [])
        if dry_run:
            _dry_run(context, store, names)
            return
        with working(context, store) as worked_on:
            while True:
                status = _round(context, store, names, worked_on, kind=kind, watch=watch)
                if not watch:
                    break
                time.sleep(every)
    raise typer.Exit(status)


def _names(store: Store, asked: Sequence[str]) -> list[str]:
    if not asked:
        return all_names(store)
    with store.db.read() as session:
        return [find_source(session, store.tenant, one).key for one in dict.fromkeys(asked)]


def _syncable(source: Source) -> bool:
    return source.connector != "push" and source.state == "active"


def all_names(store: Store) -> list[str]:
    """Every source that can be synced.

    Raises:
        NotFoundError: there is none.
    """
    with store.db.read() as session:
        known = [one.key for one in all_sources(session, store.tenant) if _syncable(one)]
    if not known:
        raise NotFoundError("there is no source to sync; register one with `ambit apply`")
    return known


@contextlib.contextmanager
def working(context: Context, store: Store) -> Iterator[Callable[[], bool]]:
    """Work is done by workers at the broker, or by the server of this folder, else by threads here."""
    settings, pipeline = context.settings, store.runtime.pipeline
    if settings.broker_url is not None:
        from workers.tasks import waker

        pipeline.wake = waker(settings)
        yield lambda: True
    elif _served(settings.data_dir):
        yield lambda: _served(settings.data_dir)
    else:
        from ingest.runner import Runner

        store.runtime.stack.warm_up(weights=False)
        runner = Runner(pipeline)
        runner.start()
        try:
            yield lambda: True
            _let_rest(store)
        finally:
            runner.stop()


def _served(data_dir: Path) -> bool:
    serving = found(data_dir)
    return serving is not None and serving.works


def _let_rest(store: Store, timeout_s: float = 20.0) -> None:
    """What no version needs leaves the index, and what is current is looked at for the catalogue, before the process
    ends; what takes longer waits for the next one.
    """
    from ingest.dispatch import work_waits

    ends = time.monotonic() + timeout_s
    while time.monotonic() < ends:
        with store.db.read() as session:
            if not any(work_waits(session, stage) for stage in ("purge", "profile")):
                return
        time.sleep(0.05)


def _round(
    context: Context, store: Store, names: Sequence[str], worked_on: Callable[[], bool], *, kind: str, watch: bool
) -> int:
    """One sync of each source, from start to end; returns the exit status. A watch outlives a round that fails."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return _sync_once(context, store, names, worked_on, kind=kind)
    except AmbitError as error:
        if not watch:
            raise
        context.err.print(f"error [{error.code}]: {error.detail}", markup=False)
        return FAILED
    except SQLAlchemyError as error:
        if not watch:
            raise
        context.err.print(f"error [unavailable]: the database did not answer ({type(error).__name__})", markup=False)
        return FAILED


def _sync_once(
    context: Context, store: Store, names: Sequence[str], worked_on: Callable[[], bool], *, kind: str
) -> int:
    from cli.report import report, show

    runs = start(store, names, kind=kind)
    follow(context, store, runs, worked_on=worked_on)
    with store.db.read() as session:
        reports = report(session, runs)
    context.emit({"runs": [one.as_dict() for one in reports]}, lambda out: show(out, reports))
    return status_of(reports)


def start(store: Store, names: Sequence[str], *, kind: str = "content") -> list[int]:
    """Queues a sync of each source; one that is under way is joined. Returns the runs' ids."""
    from ingest.runs import find_run

    with store.db.read() as session:
        keys = [find_source(session, store.tenant, name).key for name in names]
    begun = [done(store, "source.sync", key=key, kind=kind).told["id"] for key in keys]
    store.runtime.pipeline.wake("list")
    with store.db.read() as session:
        return [find_run(session, store.tenant, run).id for run in begun]


def status_of(reports: Sequence[RunReport]) -> int:
    """The exit status that runs ask for."""
    states = {one.state for one in reports}
    if states <= set(_GOOD):
        return OK
    return PARTIAL if states <= {*_GOOD, *_PARTLY} else FAILED


def _dry_run(context: Context, store: Store, names: Sequence[str]) -> None:
    from cli.preview import preview, show

    told: list[dict[str, Any]] = [preview(store, name) for name in names]
    context.emit({"sources": told}, lambda out: show(out, told))
