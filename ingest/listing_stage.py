"""The listing stage of one run: read the connector's changes outside any transaction, store each page in one."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sqlalchemy import update
from sqlalchemy.orm import Session

from core.clock import db_in, db_now
from core.errors import AmbitError, LeaseLostError
from core.jobs import Claim, backoff_s, renew, settle
from core.tables import Item, Run, Source
from core.telemetry import logger
from ingest.dispatch import OPEN
from ingest.listing import Listing, begin, outdated, pages
from ingest.model import Change, Checkpoint, Connector, JsonObject, SourceError
from ingest.parse_stage import unexpected
from ingest.permissions import crawl, tells_access
from ingest.pipeline import Pipeline
from ingest.queue import PERMISSIONS, should_rest

TURN_S = 10.0
"""How long a listing goes on while another source's waits."""
LONGEST_WAIT_S = 24 * 3600.0


def list_source(pipeline: Pipeline, held: Claim) -> None:
    """Lists one run's source to its end or to where it rests, from the checkpoint of an earlier try."""
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
        session.expunge_all()
    ends = time.monotonic() + TURN_S
    for page in pages(_changes(pipeline.connectors.open(source), run, source, pipeline.structure)):
        with pipeline.db.write() as session:
            going_on = _store(pipeline, session, held, page, turn_over=time.monotonic() > ends)
        pipeline.wake("parse")
        if not going_on:
            return
    raise SourceError(f"the listing of source {source.key!r} ended without a complete checkpoint")


def _changes(connector: Connector, run: Run, source: Source, structure: str) -> Iterator[Change]:
    if run.kind == PERMISSIONS:
        return crawl(connector, _from(run, source.access_cursor if tells_access(connector) else None))
    since = source.cursor if run.kind == "content" and not outdated(source, structure) else None
    return connector.changes(_from(run, since))


def _from(run: Run, cursor: JsonObject | None) -> JsonObject | None:
    return run.checkpoint if run.checkpoint is not None else cursor


def _store(pipeline: Pipeline, session: Session, held: Claim, page: list[Change], *, turn_over: bool) -> bool:
    """Stores a page under the run's lease; False where the listing has ended or rests, and the lease is given back."""
    settings = pipeline.settings
    renew(session, Run, [held], lease_s=settings.lease_s)
    run = session.get_one(Run, held.id)
    before = run.checkpoint
    done = Listing(session, run, settings, pipeline.structure, pipeline.keyring).apply(page)
    at_rest_point = isinstance(page[-1], Checkpoint) and run.checkpoint != before
    if at_rest_point:
        run.attempts = 0
    session.flush()
    if done:
        settle(session, Run, held, lease_until=None)
    elif at_rest_point and should_rest(session, run, backlog=settings.backlog, turn_over=turn_over):
        settle(session, Run, held, lease_until=None, not_before=db_now())
        return False
    return not done


def _failed(pipeline: Pipeline, held: Claim, error: AmbitError) -> None:
    """Tries again later while that can help; else ends the run as failed once its items are done."""
    settings = pipeline.settings
    with pipeline.db.write() as session:
        run = session.get_one(Run, held.id)
        again = error.transient and run.attempts + 1 < settings.max_attempts
        asked = error.retry_after_s if isinstance(error, SourceError) else None
        wait = max(backoff_s(run.attempts + 1, settings.retry_base_s), min(asked or 0.0, LONGEST_WAIT_S))
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
        if not again:
            _give_up_wider(session, run.id)
    logger().warning("listing.failed", code=error.code, run=run.public_id, attempt=run.attempts)


def _give_up_wider(session: Session, run: int) -> None:
    """How much a listing would have widened is not known when it did not end: none of it is done."""
    session.execute(
        update(Item)
        .where(Item.run_id == run, Item.widens, Item.state.in_(OPEN))
        .values(state="skipped", note="the listing failed before it was known how much it widens")
    )
