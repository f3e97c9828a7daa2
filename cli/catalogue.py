"""`ambit catalog`: the data assets of an installation, without a word of their text."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import DATA_DIR, JSON, TENANT, Context, command, given, guarded
from cli.store import opened

if TYPE_CHECKING:
    from rich.console import Console

CSV = Annotated[bool, typer.Option("--csv", help="Print CSV and nothing else.")]
STALE = Annotated[int, typer.Option("--stale-days", min=0, help="Older than this many days counts as stale.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Look at the data assets: sizes, age, copies, personal data.")
    group.callback(invoke_without_command=True)(sources)
    command(group, "documents")(documents)
    command(group, "refresh")(refresh)
    app.add_typer(group, name="catalog")


def sources(
    ctx: typer.Context,
    *,
    stale_days: STALE = 365,
    csv_: CSV = False,
    json_: JSON = False,
    data_dir: DATA_DIR = None,
    tenant: TENANT = None,
) -> None:
    """Show each source: documents, size, age, languages, classifications, copies, personal data, owners."""
    given.json, given.data_dir, given.tenant = json_ or given.json, data_dir or given.data_dir, tenant or given.tenant
    if ctx.invoked_subcommand is None:
        context = Context(json=given.json, data_dir=given.data_dir, tenant=given.tenant)
        guarded(context, lambda: _sources(context, stale_days, csv_=csv_))


def _sources(context: Context, stale_days: int, *, csv_: bool) -> None:
    from api.catalogue import overview

    with opened(context) as store, store.db.read() as session:
        found = overview(session, store.tenant, None, stale_days=stale_days)
    data = [one.model_dump() for one in found]
    if csv_:
        _print_csv(data)
    else:
        context.emit({"sources": data}, lambda out: _show_sources(out, data))


def documents(
    context: Context,
    *,
    source: Annotated[str | None, typer.Option("--source", help="Of this source alone.", show_default=False)] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="As in en, or unknown.", show_default=False)
    ] = None,
    classification: Annotated[str | None, typer.Option("--classification", show_default=False)] = None,
    owner: Annotated[str | None, typer.Option("--owner", show_default=False)] = None,
    personal: Annotated[str | None, typer.Option("--personal", help="A kind, or any.", show_default=False)] = None,
    alike: Annotated[str | None, typer.Option("--alike", help="copy or near.", show_default=False)] = None,
    stale_days: Annotated[
        int | None, typer.Option("--stale-days", min=0, help="Last changed more days ago.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Most documents to list.")] = 100,
    csv_: CSV = False,
) -> None:
    """List documents that fit all that is asked for."""
    from api.catalogue import listing, stale_before
    from core.errors import InvalidError
    from ingest.catalogue.choose import Wanted

    if alike not in (None, "copy", "near"):
        raise InvalidError(f"--alike is {alike!r}; write copy or near")
    data: list[dict[str, Any]] = []
    with opened(context) as store, store.db.read() as session:
        before = None if stale_days is None else stale_before(session, stale_days)
        wanted = Wanted(source, language, classification, owner, personal, alike, before)  # type: ignore[arg-type]
        cursor = None
        while len(data) < limit:
            part = listing(session, store.tenant, None, wanted, limit=min(500, limit - len(data)), cursor=cursor)
            data += [one.model_dump() for one in part.data]
            cursor = part.next_cursor
            if cursor is None:
                break
    if csv_:
        _print_csv(data)
    else:
        context.emit({"documents": data}, lambda out: _show_documents(out, data))


def refresh(context: Context) -> None:
    """Have every document looked at again; `ambit serve`, workers or the next `ambit sync` do it."""
    from ingest.catalogue.forget import look_again

    with opened(context) as store, store.db.write() as session:
        count = look_again(session, store.tenant)
        before, after = {"looked_at": count}, {"looked_at": 0}
        store.runtime.audit.change(session, store.tenant, "catalogue.refresh", "local", {}, before=before, after=after)
    context.emit({"documents": count}, lambda out: out.print(f"{count} documents are looked at again"))


def _show_sources(out: Console, data: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    names = ("source", "documents", "size", "chunks", "newest", "stale", "copies", "near", "languages", "classified")
    table = Table(*names, "personal data", "owners", box=None)
    for one in data:
        numbers = (one["documents"], _size(one["bytes"]), one["chunks"], _day(one["newest"]), one["stale"])
        alike = (one["copies"], one["near_copies"])
        held = {kind: found["documents"] for kind, found in one["personal"].items()}
        words = (one["languages"], one["classifications"], held, one["owners"])
        cells = (one["source"], *numbers, *alike, *(_counts(each) for each in words))
        table.add_row(*(Text(str(cell)) for cell in cells))
    out.print(table)


def _show_documents(out: Console, data: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    names = ("document", "source", "title", "changed", "size", "language", "classified", "personal data", "alike")
    table = Table(*names, box=None)
    for one in data:
        alike = len(one["copies"]) + len(one["near_copies"])
        place = (one["external_id"], one["source"], one["title"], _day(one["modified_at"]), _size(one["bytes"]))
        cells = (*place, one["language"] or "", one["classification"], _counts(one["personal"]), alike or "")
        table.add_row(*(Text(str(cell)) for cell in cells))
    out.print(table)


def _counts(found: dict[str, int]) -> str:
    shown = [f"{name} {count}" for name, count in list(found.items())[:4]]
    return ", ".join([*shown, "…"] if len(found) > 4 else shown)


def _day(at: Any) -> str:
    return at.date().isoformat() if at else ""


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _print_csv(rows: list[dict[str, Any]]) -> None:
    """Counts by name go into one cell as `name=count`."""
    import sys

    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    sys.stdout.write(out.getvalue())


def _cell(value: Any) -> Any:
    from policies.review_pages import harmless

    if isinstance(value, dict):
        counts = {name: one["documents"] if isinstance(one, dict) else one for name, one in value.items()}
        value = "; ".join(f"{name}={count}" for name, count in counts.items())
    elif isinstance(value, list):
        value = " ".join(value)
    return harmless(value) if isinstance(value, str) else "" if value is None else value
