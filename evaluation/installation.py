"""A temporary embedded installation that holds one data set and one reader."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from core.audit import Audit
from core.db import Database
from core.errors import AmbitError
from core.secrets import Keyring
from core.settings import Settings
from core.tables import Chunk, Document, Item, Run, Source
from embed.stack import VectorStack
from evaluation.corpus import DatasetConnector, OneConnector
from evaluation.datasets import Dataset
from ingest.model import Connector
from ingest.pipeline import Pipeline
from ingest.runner import Runner
from ingest.runs import start_run
from migrations.runner import upgrade
from policies.directory import put_tenant, put_user
from policies.epoch import bump
from policies.subject import Caller
from retrieve.service import Retriever

READER = "reader"
_TOP_K_MAX = 1000
_LOOK_S = 0.1
_ENDED = ("succeeded", "partial", "failed", "held", "cancelled")

Progress = Callable[[int, int], None]
"""Told how many documents are done, of how many."""


class CorpusError(AmbitError):
    """The corpus of an evaluation could not be ingested; the message names the first document that failed."""

    code = "corpus_failed"
    status = 422
    title = "Evaluation corpus could not be ingested"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An installation with a corpus in it.

    Attributes:
        names: the source's id of each document, by the document's internal and by its public id.
        chunks: how many the corpus was cut into.
    """

    settings: Settings
    db: Database
    stack: VectorStack
    retriever: Retriever
    caller: Caller
    names: Mapping[int | str, str]
    chunks: int


def installed(
    dataset: Dataset,
    settings: Settings,
    *,
    make_stack: Callable[[Settings, Database], VectorStack] = VectorStack,
    progress: Progress = lambda done, of: None,
) -> AbstractContextManager[Evaluated]:
    """A data set's corpus, ingested as `holding` says."""
    total = len(dataset.corpus)
    return holding(
        DatasetConnector(dataset), settings, make_stack=make_stack, progress=lambda done: progress(done, total)
    )


@contextmanager
def holding(
    connector: Connector,
    settings: Settings,
    *,
    make_stack: Callable[[Settings, Database], VectorStack] = VectorStack,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[Evaluated]:
    """Ingests what a connector lists under `settings` into a folder that is gone when the block ends.

    `settings` decides encoder and retrieval; where data lies is decided here.

    Raises:
        CorpusError: a document could not be ingested.
    """
    with tempfile.TemporaryDirectory(prefix="ambit-eval-") as folder:
        own = _settings(settings, Path(folder))
        db = Database(own.sql_url)
        stack = make_stack(own, db)
        pipeline = Pipeline(own, db, stack, Keyring(own.data_dir / "keys"))
        try:
            tenant, run = _registered(db, own, pipeline, connector)
            stack.warm_up()
            _work(db, pipeline, run, progress)
            yield _evaluated(own, db, stack, tenant)
        finally:
            pipeline.close()
            stack.close()
            db.close()


def _settings(settings: Settings, folder: Path) -> Settings:
    """The same settings over an embedded installation in `folder`; made anew, since a copy keeps what was derived."""
    given = {name: getattr(settings, name) for name in Settings.model_fields}
    elsewhere = {"data_dir": folder, "database_url": None, "index_url": None, "broker_url": None}
    return Settings(**{**given, **elsewhere, "top_k_max": _TOP_K_MAX})


def _registered(db: Database, settings: Settings, pipeline: Pipeline, connector: Connector) -> tuple[int, int]:
    """Tenant and queued run of an installation with this one source."""
    upgrade(settings.sql_url)
    pipeline.connectors = OneConnector(connector)  # type: ignore[assignment]
    with db.write() as session:
        tenant = put_tenant(session, settings.tenant).id
        put_user(session, tenant, READER)
        source = Source(
            tenant_id=tenant,
            key="corpus",
            connector=connector.name,
            config={},
            access={},
            epoch_from=bump(session, tenant),
        )
        session.add(source)
        session.flush()
        return tenant, start_run(session, source).id


def _evaluated(settings: Settings, db: Database, stack: VectorStack, tenant: int) -> Evaluated:
    names, chunks = _held(db)
    return Evaluated(
        settings=settings,
        db=db,
        stack=stack,
        retriever=Retriever(settings, db, stack, Audit(Keyring(settings.data_dir / "keys"))),
        caller=Caller(tenant, READER),
        names=names,
        chunks=chunks,
    )


def _work(db: Database, pipeline: Pipeline, run: int, progress: Callable[[int], None]) -> None:
    """Does the run's work; returns when it has ended well."""
    runner = Runner(pipeline)
    runner.start()
    closed = select(func.count()).where(Item.run_id == run, Item.state.in_(["done", "skipped"]))
    try:
        state = "queued"
        while state not in _ENDED:
            time.sleep(_LOOK_S)
            with db.read() as session:
                state = session.get_one(Run, run).state
                progress(session.scalar(closed) or 0)
    finally:
        runner.stop()
    if state != "succeeded":
        raise _failure(db, run, state)


def _failure(db: Database, run: int, state: str) -> CorpusError:
    with db.read() as session:
        item = session.scalars(select(Item).where(Item.run_id == run, Item.state == "failed").limit(1)).first()
        reason = f"{item.external_id} failed with {item.error_code}" if item else session.get_one(Run, run).error_code
    return CorpusError(f"ingesting the corpus ended as {state}: {reason}")


def _held(db: Database) -> tuple[dict[int | str, str], int]:
    names: dict[int | str, str] = {}
    with db.read() as session:
        for id_, public, external in session.execute(select(Document.id, Document.public_id, Document.external_id)):
            names[id_] = names[public] = external
        return names, session.scalar(select(func.count()).select_from(Chunk)) or 0
