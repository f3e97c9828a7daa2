"""Follows runs by counting in SQL until none of them goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import UnavailableError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cli.context import Context
    from cli.store import Store

LOOK_S = 0.1
GOING_ON = ("queued", "listing", "working")


@dataclass(frozen=True, slots=True)
class Counts:
    """Where some runs stand together. `total` grows while they list."""

    total: int
    done: int
    failed: int
    unchanged: int
    listing: bool
    going_on: bool

    @property
    def told(self) -> str:
        """In words, beside the bar."""
        parts = ["listing" if self.listing else "ingesting", f"{self.unchanged} unchanged"]
        return ", ".join([*parts, f"{self.failed} failed"] if self.failed else parts)


def counted(session: Session, runs: Sequence[int]) -> Counts:
    """Counts of these runs in this snapshot."""
    from sqlalchemy import select

    from core.tables import Run
    from ingest.runs import counts

    items: dict[str, int] = {}
    for states in counts(session, runs).values():
        for state, number in states.items():
            items[state] = items.get(state, 0) + number
    rows = session.execute(select(Run.state, Run.unchanged).where(Run.id.in_(runs))).all()
    open_ = sum(items.get(state, 0) for state in ("pending", "leased", "waiting"))
    total = sum(items.values())
    return Counts(
        total=total,
        done=total - open_,
        failed=items.get("failed", 0),
        unchanged=sum(row.unchanged for row in rows),
        listing=any(row.state in ("queued", "listing") for row in rows),
        going_on=any(row.state in GOING_ON for row in rows),
    )


def follow(
    context: Context,
    store: Store,
    runs: Sequence[int],
    *,
    title: str = "Syncing",
    worked_on: Callable[[], bool] = lambda: True,
) -> None:
    """Shows a bar until no run goes on; returns when each has ended, is held or is paused.

    Args:
        worked_on: whether somebody still does the work.

    Raises:
        UnavailableError: nobody does.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    shown = context.err.is_terminal and not context.json
    with Progress(*columns, console=context.err, transient=True, disable=not shown) as progress:
        bar = progress.add_task(title, total=None, told="")
        while True:
            with store.db.read() as session:
                now = counted(session, runs)
            progress.update(bar, total=now.total or None, completed=now.done, told=now.told)
            if not now.going_on:
                return
            if not worked_on():
                raise UnavailableError(
                    "the server that did the work has ended; run this again, what is done stays done"
                )
            time.sleep(LOOK_S)
