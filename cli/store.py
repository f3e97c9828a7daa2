"""An installation that stands: its runtime, its tenant, and what several commands look up in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import NotFoundError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from api.operation import Changed
    from api.runtime import Runtime
    from cli.context import Context
    from core.db import Database
    from core.settings import Settings
    from core.tables import Document, Source


@dataclass(frozen=True)
class Store:
    """A runtime of which nothing but SQL is open, and the id of the tenant."""

    runtime: Runtime
    tenant: int

    @property
    def db(self) -> Database:
        """The SQL truth."""
        return self.runtime.db


@contextlib.contextmanager
def opened(context: Context) -> Iterator[Store]:
    """The installation that the settings name.

    Raises:
        NotFoundError: there is none yet, or it has no such tenant.
    """
    from api.runtime import Runtime
    from migrations.runner import current, head
    from policies.directory import tenant_id

    settings = context.settings
    log_little(settings)
    if current(settings.sql_url) != head():
        raise NotFoundError(
            f"{settings.data_dir} holds no installation of this version; run `ambit init`, which also brings an "
            "older one up to date, or name another folder with --data-dir"
        )
    runtime = Runtime(settings)
    try:
        with runtime.db.read() as session:
            tenant = tenant_id(session, settings.tenant)
        yield Store(runtime, tenant)
    finally:
        runtime.close()


def done(store: Store, operation: str, **args: Any) -> Changed:
    """Makes a change as whoever runs the command, recorded with their login.

    Raises:
        HeldError: it waits for a second person.
        AmbitError: whatever the operation refuses.
    """
    from api.actors import at_the_machine
    from api.changes import Asked, perform

    return perform(store.runtime, at_the_machine(store.tenant), Asked(operation, args))


def log_little(settings: Settings) -> None:
    """A command reports what it did itself; its log says more only where somebody asked for it."""
    from core.telemetry import configure_logging

    asked = "log_level" in settings.model_fields_set
    configure_logging(settings if asked else settings.model_copy(update={"log_level": "error"}))


def find_source(session: Session, tenant: int, key: str) -> Source:
    """The source of that key that is not deleted.

    Raises:
        NotFoundError: there is none; the message lists those there are.
    """
    known = all_sources(session, tenant)
    for source in known:
        if source.key == key:
            return source
    names = ", ".join(one.key for one in known) or "none; `ambit apply` registers one"
    raise NotFoundError(f"there is no source {key!r}; there is: {names}")


def all_sources(session: Session, tenant: int) -> list[Source]:
    """Every source that is not deleted, by key."""
    from sqlalchemy import select

    from core.tables import Source

    return list(
        session.scalars(
            select(Source).where(Source.tenant_id == tenant, Source.state != "deleted").order_by(Source.key)
        )
    )


def find_document(session: Session, tenant: int, name: str) -> Document:
    """The document of a public id, or of `source:id at the source` as in `files:hr/salaries.xlsx`.

    Raises:
        NotFoundError: there is none.
    """
    from sqlalchemy import select

    from core.tables import Document, Source

    wanted = [Document.public_id == name]
    key, colon, external = name.partition(":")
    if colon:
        wanted = [Source.key == key, Document.external_id == external]
    found = session.scalars(
        select(Document)
        .join(Source, Source.id == Document.source_id)
        .where(Document.tenant_id == tenant, *wanted)
        .limit(1)
    ).first()
    if found is None:
        raise NotFoundError(f"there is no document {name!r}; write its public id, or source:path as in files:hr/a.xlsx")
    return found
