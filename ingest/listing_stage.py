"""The listing stage of one run: read the connector's changes outside any transaction, store each page in one."""

from __future__ import annotations

from core.clock import db_in, db_now
from core.errors import AmbitError, LeaseLostError
from core.jobs import Claim, backoff_s, renew, settle
from core.tables import Run, Source
from core.telemetry import logger
from ingest.listing import Listing, begin, pages
from ingest.model import SourceError
from ingest.parse_stage import unexpected
from ingest.pipeline import Pipeline


def list_source(pipeline: Pipeline, held: Claim) -> None:
    """Lists one run's source to its end, from the checkpoint of an earlier try."""
    try:
        _list(pipeline, held)
    except LeaseLostError:
        logger().info("listing.lost", kind="run")
    except AmbitError as error:
        _failed(pipeline, held, error)
    except Exception as error:  # noqa: BLE001 - a connector may raise anything, and a source must not wait for its lease
        _failed(pipeline, held, SourceError(unexpected(error).detail))


def _list(pipeline: Pipeline, held: Claim) -> None:
    with pipeline.db.write() as session:
        begin(session, held.id)
        run = session.get_one(Run, held.id)
        source = session.get_one(Source, run.source_id)
        cursor = run.checkpoint if run.checkpoint is not None else source.cursor
        session.expunge_all()
    connector = pipeline.connectors.open(source)
    for page in pages(connector.changes(cursor)):
        with pipeline.db.write() as session:
            renew(session, Run, [held], lease_s=pipeline.settings.lease_s)
            done = Listing(session, session.get_one(Run, held.id), pipeline.settings).apply(page)
        pipeline.wake("parse")
        if done:
            with pipeline.db.write() as session:
                settle(session, Run, held, lease_until=None)
            return
    raise SourceError(f"the listing of source {source.key!r} ended without a complete checkpoint")


def _failed(pipeline: Pipeline, held: Claim, error: AmbitError) -> None:
    """Tries again later while that can help; else ends the run as failed once its items are done."""
    with pipeline.db.write() as session:
        run = session.get_one(Run, held.id)
        again = error.transient and run.attempts + 1 < pipeline.settings.max_attempts
        wait = backoff_s(run.attempts + 1, pipeline.settings.retry_base_s)
        settle(
            session,
            Run,
            held,
            state="listing" if again else "working",
            listed_all=not again,
            attempts=run.attempts + 1,
            not_before=db_in(wait) if again else db_now(),
            lease_until=None,
            error_code=None if again else error.code,
            error_detail=error.detail[:2000],
        )
    logger().warning("listing.failed", code=error.code, run=run.public_id, attempt=run.attempts)
