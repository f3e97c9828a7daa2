"""`ambit keys`: the API keys of apps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, command
from cli.store import opened
from core.errors import InvalidError

if TYPE_CHECKING:
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
    from api import keys
    from core.db import now

    with opened(context) as store, store.db.write() as session:
        expires = None if expires_in is None else now(session) + _span(expires_in)
        rights = right or ["query"]
        if app == keys.ADMIN_APP and "admin" in rights:
            keys.restore(session, store.tenant)
        row, key = keys.create(session, store.runtime.keyring, store.tenant, app, rights, expires_at=expires)
        body = {"key": row.prefix, "app": app}
        store.runtime.audit.append(session, store.tenant, "admin.key.create", "local", body)
        data = {**_as_data(row, app), "key": key}

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
    from api import keys
    from policies.grants import administered, refuse_lockout

    with opened(context) as store, store.db.write() as session:
        before = administered(session, store.tenant)
        row = keys.revoke(session, store.tenant, prefix)
        refuse_lockout(session, store.tenant, before)
        store.runtime.audit.append(session, store.tenant, "admin.key.revoke", "local", {"key": row.prefix})
        data = _as_data(row, None)
    context.emit(data, lambda out: out.print(f"key {prefix} is revoked", markup=False))


def _span(text: str) -> timedelta:
    from api.declare.shapes import duration_s

    try:
        return timedelta(seconds=duration_s(text))
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"--expires-in {text!r}: {error}") from None


def _as_data(row: ApiKey, app: str | None) -> dict[str, Any]:
    times = {name: getattr(row, name) for name in ("created_at", "expires_at", "revoked_at")}
    told = {name: at.isoformat(timespec="seconds") if at else None for name, at in times.items()}
    return {"prefix": row.prefix, "app": app, "rights": list(row.rights), **told}
