"""The stages by name, each as one step: claim a fair batch, do it, say whether there was any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from core.jobs import Claim
from core.memory import Trimmer
from core.tables import Item, Run
from ingest.catalogue import stage as catalogue
from ingest.dispatch import claim_items, claim_run, work_waits
from ingest.encode_stage import encode_items, place_items
from ingest.erasure.stage import erase
from ingest.listing_stage import list_source
from ingest.parse_stage import parse_item
from ingest.pipeline import Pipeline
from ingest.purge import purge
from ingest.runs import finish_ready

Step = Callable[[Pipeline], bool]
PARSE_BATCH = 4
ENCODE_BATCH = 24
PLACE_BATCH = 50


def _waits(pipeline: Pipeline, stage: str) -> bool:
    """A look without a write lock, so that an idle worker disturbs nobody."""
    with pipeline.db.read() as session:
        return work_waits(session, stage, backlog=pipeline.settings.backlog)


def _claimed(pipeline: Pipeline, stage: str, *, limit: int) -> list[Claim]:
    """A fair batch of a stage's items, if any is due."""
    if not _waits(pipeline, stage):
        return []
    with pipeline.db.write() as session:
        settings = pipeline.settings
        return claim_items(session, stage, limit=limit, lease_s=settings.lease_s, backlog=settings.backlog)


def list_step(pipeline: Pipeline) -> bool:
    """Lists one source, or a part of it."""
    if not _waits(pipeline, "list"):
        return False
    settings = pipeline.settings
    with pipeline.db.write() as session:
        held = claim_run(session, lease_s=settings.lease_s, backlog=settings.backlog)
    if held is not None:
        with pipeline.heart.keeping(Run, [held]):
            list_source(pipeline, held)
        pipeline.wake("list")
        pipeline.wake("finish")
    return held is not None


def parse_step(pipeline: Pipeline) -> bool:
    """Fetches, parses and splits a few objects."""
    claims = _claimed(pipeline, "parse", limit=PARSE_BATCH)
    with pipeline.heart.keeping(Item, claims):
        for held in claims:
            parse_item(pipeline, held)
    return bool(claims)


def encode_step(pipeline: Pipeline) -> bool:
    """Encodes, indexes and commits what is split."""
    claims = _claimed(pipeline, "encode", limit=ENCODE_BATCH)
    if claims:
        with pipeline.heart.keeping(Item, claims):
            encode_items(pipeline, claims)
    return bool(claims)


def place_step(pipeline: Pipeline) -> bool:
    """Moves points to the nodes their documents stand under."""
    claims = _claimed(pipeline, "place", limit=PLACE_BATCH)
    if claims:
        with pipeline.heart.keeping(Item, claims):
            place_items(pipeline, claims)
    return bool(claims)


def finish_step(pipeline: Pipeline) -> bool:
    """Ends runs that have nothing left to do."""
    if not _waits(pipeline, "finish"):
        return False
    with pipeline.db.write() as session:
        return bool(finish_ready(session))


def purge_step(pipeline: Pipeline) -> bool:
    """Removes what no version needs, and goes on with what is erased."""
    if not _waits(pipeline, "purge"):
        return False
    done = purge(pipeline) > 0
    return erase(pipeline) or done


def profile_step(pipeline: Pipeline) -> bool:
    """Looks at versions that became current."""
    return catalogue.profile_versions(pipeline) > 0


_trim = Trimmer()


def _measured(stage: str, step: Step) -> Step:
    """The step, with its length counted where it did something; what it freed goes back to the system now and then."""

    def measured(pipeline: Pipeline) -> bool:
        with pipeline.meter.turn(stage) as worked:
            busy = step(pipeline)
            if busy:
                worked.append(True)
        if busy:
            _trim()
        return busy

    return measured


STAGES: Final[Mapping[str, Step]] = MappingProxyType(
    {
        "list": _measured("list", list_step),
        "parse": _measured("parse", parse_step),
        "encode": _measured("encode", encode_step),
        "place": _measured("place", place_step),
        "finish": _measured("finish", finish_step),
        "purge": _measured("purge", purge_step),
        "profile": _measured("profile", profile_step),
    }
)
