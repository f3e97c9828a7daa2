"""What a run did, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

COLOURS = {
    "succeeded": "green",
    "partial": "yellow",
    "failed": "red",
    "held": "red",
    "paused": "yellow",
    "cancelled": "dim",
}


@dataclass(frozen=True, slots=True)
class ItemReport:
    """An object that failed, or that was passed over with a note."""

    id: str
    file: str
    state: str
    code: str | None
    reason: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run. `items` holds those that failed and those with a note; `counts` counts all by state."""

    id: str
    source: str
    kind: str
    state: str
    trigger: str
    listed: int
    unchanged: int
    deleted: int
    counts: dict[str, int]
    widened: int
    held_for: str | None
    access_failed: bool
    error_code: str | None
    error_detail: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    items: tuple[ItemReport, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it goes on."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


def report(session: Session, runs: Sequence[int], *, items: bool = True) -> list[RunReport]:
    """Reports of runs, in the order given."""
    from sqlalchemy import select

    from core.tables import Run, Source
    from ingest.runs import counts

    rows = session.execute(
        select(Run, Source.key).join(Source, Source.id == Run.source_id).where(Run.id.in_(runs))
    ).all()
    counted = counts(session, runs)
    found = {
        run.id: RunReport(
            id=run.public_id, source=source, kind=run.kind, state=run.state, trigger=run.trigger, listed=run.listed,
            unchanged=run.unchanged, deleted=run.deleted, counts=counted[run.id], widened=run.widened,
            held_for=run.held_for, access_failed=run.access_failed,
            error_code=run.error_code, error_detail=run.error_detail, created_at=run.created_at,
            started_at=run.started_at, ended_at=run.ended_at, items=_items(session, run.id) if items else (),
        )
        for run, source in rows
    }  # fmt: skip
    return [found[one] for one in runs]


def _items(session: Session, run: int) -> tuple[ItemReport, ...]:
    from sqlalchemy import or_, select

    from core.tables import Item

    rows = session.scalars(
        select(Item)
        .where(Item.run_id == run, or_(Item.state == "failed", Item.state == "skipped", Item.note.is_not(None)))
        .order_by(Item.external_id)
    )
    return tuple(
        ItemReport(
            id=row.public_id, file=row.external_id, state=row.state, code=row.error_code,
            reason=row.error_detail or row.note, attempts=row.attempts,
        )
        for row in rows
    )  # fmt: skip


def show(out: Console, reports: Sequence[RunReport]) -> None:
    """A line for each run, then what it could not take."""
    from rich.text import Text

    for one in reports:
        took = f" in {one.seconds:.1f} s" if one.seconds is not None else ""
        out.print(Text.assemble(f"{one.source}: ", (one.state, COLOURS.get(one.state, "")), f"{took}  {told(one)}"))
        if one.error_detail:
            out.print(Text(f"  {one.error_code or one.state}: {one.error_detail}", style="red"))
        if one.state == "held":
            out.print(f"  ambit runs approve {one.id}   or   ambit runs reject {one.id}", markup=False)
        if one.state == "paused":
            out.print(f"  ambit runs resume {one.id}", markup=False)
        show_items(out, one)


def told(one: RunReport) -> str:
    """A run's counts in words."""
    if one.kind == "permissions":
        parts = [f"access of {one.listed} objects read", f"{one.counts.get('done', 0)} moved"]
    else:
        parts = [f"{one.counts.get('done', 0)} ingested", f"{one.unchanged} unchanged", f"{one.deleted} deleted"]
    if one.widened:
        parts.append(f"{one.widened} shown to more people")
    parts += [f"{one.counts[state]} {state}" for state in ("skipped", "failed") if one.counts.get(state)]
    if one.access_failed:
        parts.append("access data incomplete")
    return f"({one.id}) " + ", ".join(parts)


def show_items(out: Console, one: RunReport) -> None:
    """The table of what failed or was passed over."""
    from rich.table import Table
    from rich.text import Text

    if not one.items:
        return
    table = Table("file", "state", "code", "reason", box=None, padding=(0, 2, 0, 0))
    for item in one.items:
        colour = COLOURS.get(item.state, "")
        state = Text(item.state, style=colour)
        table.add_row(Text(item.file, overflow="fold"), state, item.code or "", Text(item.reason or ""))
    out.print(table)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
