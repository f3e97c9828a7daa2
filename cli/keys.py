"""`ambit keys`: the API keys of apps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, command
from cli.store import done, opened
from core.errors import InvalidError

if TYPE_CHECKING:
    from api.schemas.directory import KeyView
    from core.tables import ApiKey

RIGHTS = Annotated[list[str] | None, typer.Option("--right", help="query, ingest, provision or admin; repeatable.")]
EXPIRES = Annotated[str | None, typer.Option("--expires-in", help="As in 90d; absent: never.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Make, list and revoke the API keys of apps.", no_args_is_help=True)
    command(group, "create")(create)
    command(group, "list")(list_)
    command(group, "revoke")(revoke)
    app.add_typer(group, name="keys")


def create(
    context: Context,
    app: Annotated[str, typer.Argument(help="The app's id.")],
    right: RIGHTS = None,
    expires_in: EXPIRES = None,
) -> None:
    """Make a key of an app; it is shown this once."""
    from core.db import now

    with opened(context) as store:
        with store.db.read() as session:
            expires = None if expires_in is None else (now(session) + _span(expires_in)).isoformat()
        body = {"app": app, "rights": right or ["query"], "expires_at": expires}
        made = done(store, "key.create", body=body).told
    key = made.key
    data = {**_as_data(made, app), "key": key}

    def show(_: object) -> None:
        context.out.print(f"Key of {app}, shown this once: {key}", markup=False, soft_wrap=True)

    context.emit(data, show)


def list_(context: Context) -> None:
    """List the keys; the keys themselves are stored nowhere."""
    from rich.table import Table
    from sqlalchemy import select

    from core.tables import ApiKey, App

    with opened(context) as store, store.db.read() as session:
        rows = session.execute(
            select(ApiKey, App.key)
            .outerjoin(App, App.id == ApiKey.app_id)
            .where(ApiKey.tenant_id == store.tenant)
            .order_by(ApiKey.id)
        ).all()
        data = [_as_data(row, app) for row, app in rows]

    def show(_: object) -> None:
        table = Table("prefix", "app", "rights", "created", "expires", "revoked", box=None)
        for one in data:
            times = (one[name] or "" for name in ("created_at", "expires_at", "revoked_at"))
            table.add_row(one["prefix"], one["app"] or "(gone)", ", ".join(one["rights"]), *times)
        context.out.print(table)

    context.emit({"keys": data}, show)


def revoke(context: Context, prefix: Annotated[str, typer.Argument(help="The key's prefix.")]) -> None:
    """Make a key useless from the next call on."""
    from api.schemas.directory import KeyView

    with opened(context) as store:
        data = _as_data(KeyView.model_validate(done(store, "key.revoke", prefix=prefix).told), None)
    context.emit(data, lambda out: out.print(f"key {prefix} is revoked", markup=False))


def _span(text: str) -> timedelta:
    from api.declare.shapes import duration_s

    try:
        return timedelta(seconds=duration_s(text))
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"--expires-in {text!r}: {error}") from None


def _as_data(row: ApiKey | KeyView, app: str | None) -> dict[str, Any]:
    times = {name: getattr(row, name) for name in ("created_at", "expires_at", "revoked_at")}
    told = {name: at.isoformat(timespec="seconds") if at else None for name, at in times.items()}
    return {"prefix": row.prefix, "app": app, "rights": list(row.rights), **told}
