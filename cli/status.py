"""`ambit status`: how the installation stands, in one look."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from cli.context import Context, command
from cli.store import Store, all_sources, opened

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from core.tables import Source


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "status")(status)


def status(context: Context) -> None:
    """Show sources, documents, chunks, the last runs, freshness of access data, and the policy epoch."""
    from api.directory_copies import directory_views
    from cli.access_break_glass import standing
    from cli.approvals import waiting
    from cli.serving import found
    from core.db import now
    from policies.epoch import current

    serving = found(context.settings.data_dir)
    with opened(context) as store:
        with store.db.read() as session:
            at = now(session)
            sources = [_source(session, one, at) for one in all_sources(session, store.tenant)]
            directories = directory_views(session, store.tenant)
            epoch = current(session, store.tenant)
            points = _points(session)
            work = _work(session)
        glass, held = standing(store), [one for one in waiting(store) if one["state"] == "pending"]
        data: dict[str, Any] = {
            "data_dir": str(context.settings.data_dir),
            "tenant": context.settings.tenant,
            "serving": serving.url if serving else None,
            "epoch": epoch,
            "break_glass": glass,
            "held": len(held),
            "index": {**points, "notice": _notice(store), "points": _index_points(store, busy=serving is not None)},
            "sources": sources,
            "directories": directories,
            "work": work,
        }
    context.emit(data, lambda out: _show(out, data))


def _work(session: Session) -> dict[str, Any]:
    """Who works, what waits, and how long the oldest of it has."""
    from core.db import now
    from ingest.metrics import due, items
    from ingest.presence import living

    at = now(session)
    workers = [
        {
            "name": one.name, "role": one.role, "stages": one.stages, "refused": one.refused,
            "silent_s": (at - one.beat_at).total_seconds(),
            "idle_s": (at - one.worked_at).total_seconds() if one.worked_at else None,
        }
        for one in living(session)
    ]  # fmt: skip
    waiting = [{"stage": stage, "state": state, "items": count} for stage, state, count in items(session)]
    return {"workers": workers, "items": waiting, "oldest_s": dict(due(session))}


def _source(session: Session, source: Source, at: datetime) -> dict[str, Any]:
    from cli.report import report

    last = _last_run(session, source.id)
    return {
        "id": source.key,
        "connector": source.connector,
        "state": source.state,
        **_documents(session, source.id),
        "last_run": report(session, [last], items=False)[0].as_dict() if last else None,
        "access": freshness(source, at),
    }


def freshness(source: Source, at: datetime) -> dict[str, Any]:
    """How old the source's access data is, in seconds, against its limit; past it nobody reads the source."""
    age = (at - source.access_synced_at).total_seconds() if source.access_synced_at else None
    limit = source.max_access_age_s
    fresh = limit is None or (age is not None and age < limit)
    return {"age_s": age, "max_age_s": limit, "fresh": fresh}


def _last_run(session: Session, source: int) -> int | None:
    from sqlalchemy import func, select

    from core.tables import Run

    return session.scalar(select(func.max(Run.id)).where(Run.source_id == source))


def _documents(session: Session, source: int) -> dict[str, int]:
    """Documents that readers may be shown, those that are hidden, and the chunks of the former."""
    from sqlalchemy import func, select

    from core.tables import Document, VersionChunk

    live = (Document.source_id == source) & (Document.state == "live") & Document.version_id.is_not(None)
    documents = session.scalar(select(func.count()).select_from(Document).where(live))
    held = session.scalar(
        select(func.count()).select_from(Document).where(Document.source_id == source, Document.state == "held")
    )
    chunks = session.scalar(
        select(func.count())
        .select_from(VersionChunk)
        .join(Document, Document.version_id == VersionChunk.version_id)
        .where(live)
    )
    return {"documents": documents or 0, "held": held or 0, "chunks": chunks or 0}


def _notice(store: Store) -> str | None:
    """What the settings say of the encoder and nobody heeds."""
    from embed.generations import standing_generation

    live = standing_generation(store.db)
    return None if live is None else store.runtime.stack.unheeded(live)


def _points(session: Session) -> dict[str, Any]:
    """The live generation, and how many points SQL knows it to hold."""
    from sqlalchemy import func, select

    from core.tables import ChunkPoint, Generation

    live = session.scalars(select(Generation).where(Generation.state == "live")).one_or_none()
    if live is None:
        return {"collection": None, "encoder": None, "known_points": 0}
    known = session.scalar(select(func.count()).select_from(ChunkPoint).where(ChunkPoint.generation_id == live.id))
    return {"collection": live.collection, "encoder": live.encoder, "known_points": known or 0}


def _index_points(store: Store, *, busy: bool) -> int | None:
    """Points that the index itself counts; None where another process holds it, or there is no index yet."""
    from core.errors import AmbitError

    with store.db.read() as session:
        collection = _points(session)["collection"]
    if collection is None or (busy and store.runtime.settings.embedded_index):
        return None
    try:
        return store.runtime.stack.index.count(collection)
    except AmbitError:
        return None


def _show(out: Console, data: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from cli.access_break_glass import show as show_glass
    from cli.directories import show_directories
    from cli.report import COLOURS

    if data["break_glass"]:
        show_glass(out, data["break_glass"])
    if data["held"]:
        out.print(f"{data['held']} changes wait for a second person: `ambit approvals list`", style="yellow")

    served = f"served at {data['serving']}" if data["serving"] else "not served"
    out.print(f"{data['data_dir']}, tenant {data['tenant']}, {served}, policy epoch {data['epoch']}", markup=False)
    index = data["index"]
    counted = "held by the server" if index["points"] is None and data["serving"] else f"{index['points'] or 0} points"
    out.print(f"index {index['collection'] or 'absent'}: {counted}, {index['known_points']} known to SQL", markup=False)
    if index["notice"]:
        out.print(Text(index["notice"], style="yellow"))
    for line in _work_lines(data["work"]):
        out.print(line, markup=False)
    table = Table("source", "connector", "state", "documents", "chunks", "last run", "failed", "access data", box=None)
    for one in data["sources"]:
        last = one["last_run"]
        state = Text(last["state"], style=COLOURS.get(last["state"], "")) if last else "never"
        failed = str(last["counts"].get("failed", 0)) if last else ""
        numbers = (str(one["documents"]), str(one["chunks"]))
        table.add_row(one["id"], one["connector"], one["state"], *numbers, state, failed, age(one["access"]))
    out.print(table)
    if data["directories"]:
        show_directories(out, data["directories"])


def _work_lines(work: dict[str, Any]) -> list[str]:
    told = [f"{one['items']} {one['state']} for {one['stage']}" for one in work["items"]]
    oldest = max(work["oldest_s"].values(), default=0.0)
    waits = f"; the oldest has waited {_span(oldest)}" if work["oldest_s"] else ""
    lines = [f"work: {', '.join(told) or 'none waits'}{waits}"]
    for one in work["workers"]:
        idle = "has done nothing yet" if one["idle_s"] is None else f"last did something {_span(one['idle_s'])} ago"
        lines.append(f"{one['name']}: {idle}" if one["role"] != "beat" else f"{one['name']}: beats")
    return lines


def age(access: dict[str, Any]) -> Any:
    """How old access data is against its limit; red where that is reached."""
    from rich.text import Text

    old = "never read" if access["age_s"] is None else f"{_span(access['age_s'])} old"
    limit = "no limit" if access["max_age_s"] is None else f"limit {_span(access['max_age_s'])}"
    return Text(f"{old}, {limit}", style="" if access["fresh"] else "red")


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
