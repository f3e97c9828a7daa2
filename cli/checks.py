"""The checks that `ambit doctor` makes: each says how things stand and, where they do not, how to mend it."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.errors import AmbitError

if TYPE_CHECKING:
    from api.runtime import Runtime
    from core.settings import Settings

State = Literal["ok", "note", "fail"]
LEAST_FREE_MB = 1024
MOST_SKEW_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `note`: nothing is broken, but something is not as it could be."""

    name: str
    state: State
    detail: str
    mend: str | None = None


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in turn; one that fails never stops the next."""
    from api.runtime import Runtime
    from cli.checks_identity import directories, issuers  # reads this module

    yield from _settings(settings)
    yield _guard("data folder", lambda: _data_folder(settings), "make it writable for this account, or set data_dir")
    yield _guard("disk", lambda: _disk(settings), "free some space, or move data_dir")
    yield _guard("keys", lambda: _keys(settings), "restore the file from a backup")
    runtime = Runtime(settings)
    try:
        sql = _guard("sql", lambda: _sql(settings), _mend_sql(settings))
        yield sql
        if sql.state == "ok":
            yield _guard("clock", lambda: _clock(runtime), "synchronise the clocks of both machines (NTP)")
            yield _guard("tenants", lambda: _tenant_wall(runtime), _mend_sql(settings))
        yield _guard(
            "encoder", lambda: _encoder(runtime), "set encoder to a model on this machine, or back to what it was"
        )
        if sql.state == "ok":
            yield from _unheeded(runtime)
        yield _guard("index", lambda: _index(runtime, standing=sql.state == "ok"), _mend_index(settings))
        if settings.broker_url is not None:
            yield _guard("broker", lambda: _broker(settings), "start the broker, or mend AMBIT_BROKER_URL")
        if settings.url is not None:
            yield _guard("url", lambda: _url(settings), "start the server there, or unset AMBIT_URL")
        yield _guard("parsers", lambda: _parsers(runtime), "start Ambit from the environment it was installed in")
        if sql.state == "ok":
            yield from _sources(runtime)
            yield from _models(runtime)
            yield from directories(runtime, _guard)
        yield from issuers(runtime, _guard)
    finally:
        runtime.close()
    yield _tesseract()


def _guard(name: str, check: Callable[[], Finding], mend: str) -> Finding:
    """A finding in any case: what a check raises is what it found."""
    try:
        return check()
    except AmbitError as error:
        return Finding(name, "fail", error.detail, mend)
    except Exception as error:  # noqa: BLE001 - drivers raise what they like
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return Finding(name, "fail", reason, mend)


def _settings(settings: Settings) -> Iterator[Finding]:
    stated = sorted(settings.model_fields_set)
    yield Finding("settings", "ok", f"{len(stated)} set: {', '.join(stated)}" if stated else "all at their defaults")
    if settings.broker_url is not None and settings.embedded_index:
        yield Finding(
            "settings", "fail", "broker_url is set, index_url is not: workers cannot share an embedded index",
            "set AMBIT_INDEX_URL to a Qdrant server, or unset AMBIT_BROKER_URL",
        )  # fmt: skip
    if settings.broker_url is not None and settings.database_url is None:
        yield Finding(
            "settings", "note", "broker_url is set, database_url is not: other machines cannot reach SQLite",
            "set AMBIT_DATABASE_URL to PostgreSQL",
        )  # fmt: skip


def _data_folder(settings: Settings) -> Finding:
    folder = settings.data_dir
    if not folder.exists():
        return Finding("data folder", "fail", f"{folder} is not there", "run `ambit init`")
    with tempfile.TemporaryFile(dir=folder):
        pass
    if folder.stat().st_mode & 0o077:
        return Finding("data folder", "note", f"{folder} is open to other accounts", f"chmod 700 {folder}")
    return Finding("data folder", "ok", f"{folder} is writable")


def _disk(settings: Settings) -> Finding:
    folder = next(one for one in (settings.data_dir, *settings.data_dir.parents) if one.exists())
    free = shutil.disk_usage(folder).free // (1024 * 1024)
    low = free < LEAST_FREE_MB
    return Finding("disk", "fail" if low else "ok", f"{free} MiB free", "free some space" if low else None)


def _keys(settings: Settings) -> Finding:
    path = settings.data_dir / "keys"
    if not path.exists():
        return Finding("keys", "fail", f"{path} is not there", "run `ambit init`, or restore it from a backup")
    if not path.read_bytes().split():
        return Finding("keys", "fail", f"{path} holds no key", "restore it from a backup")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Finding("keys", "fail", f"{path} can be read by other accounts", f"chmod 600 {path}")
    return Finding("keys", "ok", "there, and readable by its owner alone")


def _sql(settings: Settings) -> Finding:
    from migrations.runner import current, head

    at, needed = current(settings.sql_url), head()
    if at == needed:
        return Finding("sql", "ok", f"reached, schema {at}")
    state = "no schema yet" if at is None else f"schema {at}, and {needed} is needed"
    return Finding("sql", "fail", state, "run `ambit init`")


def _mend_sql(settings: Settings) -> str:
    where = "database_url (AMBIT_DATABASE_URL)" if settings.database_url is not None else "the data folder"
    return f"start the database, or mend {where}"


def _clock(runtime: Runtime) -> Finding:
    from core.clock import utc_now
    from core.db import now

    with runtime.db.read() as session:
        skew = abs((now(session) - utc_now()).total_seconds())
    far = skew > MOST_SKEW_S
    mend = "synchronise the clocks of both machines (NTP)" if far else None
    return Finding("clock", "fail" if far else "ok", f"{skew:.1f} s between SQL and here", mend)


def _tenant_wall(runtime: Runtime) -> Finding:
    """On PostgreSQL: whether row-level security holds for the role that Ambit connects as."""
    from core.row_security import holds

    if runtime.db.is_sqlite or holds(runtime.db.engine):
        return Finding(
            "tenants", "ok", "kept apart" if runtime.db.is_sqlite else "kept apart by row-level security too"
        )
    return Finding(
        "tenants", "note", "PostgreSQL's row-level security does not hold for a superuser or BYPASSRLS",
        "connect as the tables' owner, made by CREATE ROLE ... LOGIN NOSUPERUSER NOBYPASSRLS",
    )  # fmt: skip


def _encoder(runtime: Runtime) -> Finding:
    from embed.encoders.verify import verify

    encoder = runtime.stack.encoder
    encoder.warm_up()
    lowest = verify(encoder)
    if lowest is None:
        return Finding("encoder", "note", f"{encoder.tag} loads; there are no reference vectors to hold it against")
    return Finding("encoder", "ok", f"{encoder.tag} agrees with the reference vectors to {lowest:.4f}")


def _unheeded(runtime: Runtime) -> Iterator[Finding]:
    """Whether the encoder that is set is another than the one in use."""
    from embed.generations import standing_generation

    live = standing_generation(runtime.db)
    told = None if live is None else runtime.stack.unheeded(live)
    if told is not None:
        yield Finding("encoder", "note", told, "run the command that is named, or set encoder to what is in use")


def _index(runtime: Runtime, *, standing: bool) -> Finding:
    from cli.serving import found

    settings = runtime.settings
    serving = found(settings.data_dir)
    if settings.embedded_index and serving is not None:
        return Finding("index", "ok", f"held by `ambit serve` at {serving.url} (pid {serving.pid})")
    if not standing:
        return Finding("index", "note", "not looked at, since SQL says which collection is live")
    from ingest.reconcile import noted_points

    live = runtime.stack.generation()
    points, noted = runtime.stack.index.count(live.collection), noted_points(runtime.db, live.id)
    told = f"{live.collection} holds {points} points"
    if points == noted:
        return Finding("index", "ok", told)
    state: State = "note" if points else "fail"
    return Finding("index", state, f"{told}, and SQL notes {noted}", "run `ambit index repair`")


def _mend_index(settings: Settings) -> str:
    if settings.embedded_index:
        return "stop the other process that holds the index folder, or restore the folder from a backup"
    return "start Qdrant, or mend index_url (AMBIT_INDEX_URL) and index_api_key (AMBIT_INDEX_API_KEY)"


def _broker(settings: Settings) -> Finding:
    from workers.app import make_app

    with make_app(settings).connection_for_read(connect_timeout=5) as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
        return Finding("broker", "ok", f"reached ({connection.transport_cls})")


def _url(settings: Settings) -> Finding:
    import httpx

    response = httpx.get(f"{str(settings.url).rstrip('/')}/healthz", timeout=10, trust_env=False)
    if response.is_success:
        return Finding("url", "ok", f"{settings.url} answers")
    return Finding(
        "url", "fail", f"{settings.url} answers {response.status_code}", "start Ambit there, or unset AMBIT_URL"
    )


def _parsers(runtime: Runtime) -> Finding:
    held = runtime.pipeline.parsers.confinement()
    if not held.missing:
        return Finding("parsers", "ok", f"confined by Landlock {held.files}, seccomp and limits")
    return Finding(
        "parsers", "note", f"held less tightly than they could be; missing: {', '.join(held.missing)}",
        "use Linux 5.13 or newer with Landlock and seccomp, and let containers use them",
    )  # fmt: skip


def _sources(runtime: Runtime) -> Iterator[Finding]:
    from cli.store import all_sources
    from policies.directory import tenant_id

    with runtime.db.read() as session:
        sources = all_sources(session, tenant_id(session, runtime.settings.tenant))
        session.expunge_all()
    for source in sources:
        name = f"source {source.key}"

        def check(source: object = source, name: str = name) -> Finding:
            runtime.pipeline.connectors.open(source).check()  # type: ignore[arg-type]
            return Finding(name, "ok", "reached")

        yield _guard(name, check, "mend what is named in its YAML document, then `ambit apply`")


def _models(runtime: Runtime) -> Iterator[Finding]:
    """Every secret that a declared model names has a value."""
    from sqlalchemy import select

    from core.secrets import resolve_secret, secret_names
    from core.tables import ConfigObject
    from policies.directory import tenant_id

    with runtime.db.read() as session:
        tenant = tenant_id(session, runtime.settings.tenant)
        rows = session.scalars(
            select(ConfigObject).where(ConfigObject.tenant_id == tenant, ConfigObject.kind == "Model")
        ).all()
        for row in rows:
            for name in sorted(secret_names(row.body)):

                def check(name: str = name, key: str = row.key) -> Finding:
                    resolve_secret(session, runtime.keyring, tenant, name)
                    return Finding(f"model {key}", "ok", f"secret {name} has a value")

                yield _guard(f"model {row.key}", check, f"set AMBIT_SECRET_{name}")


def _tesseract() -> Finding:
    if shutil.which("tesseract"):
        return Finding("tesseract", "ok", "installed")
    return Finding(
        "tesseract", "note", "not installed: scanned pages without a text layer stay unread",
        "optional; on Debian: apt-get install tesseract-ocr",
    )  # fmt: skip
