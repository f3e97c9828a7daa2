"""The world of an earlier epoch decides as it decided then, whatever was changed or removed since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.db import Database, now
from core.errors import InvalidError, NotFoundError
from core.tables import Document, EpochTime, Principal, Source, StateHistory
from policies import directory, nodes
from policies.epoch import current
from policies.explain import explain
from policies.history import Moment, as_of, moment
from policies.model import access_spec
from policies.readers import who_can_read
from policies.subject import Caller, resolve_subject
from tests.factories.access_changes import CHANGES, own_documents, verdicts
from tests.factories.random_world import random_world
from tests.factories.world import Built, build, parse

SEEDS = [0, 1, pytest.param(range(2, 40), marks=pytest.mark.full)]
APPS = (None, "chat")
STEPS = 10


@pytest.mark.parametrize("seed", SEEDS)
def test_every_epoch_decides_as_it_did(sqlite_db: Database, seed: int | range) -> None:
    for one in [seed] if isinstance(seed, int) else seed:
        _check_epochs(sqlite_db, one)


def _check_epochs(db: Database, seed: int) -> None:
    rng = Random(seed)
    world = random_world(rng)
    with db.write() as session:
        built = build(session, world)
    documents = own_documents(built, world)
    told: list[tuple[Moment, Any, str]] = []
    for step in range(STEPS):
        name = "none" if step == 0 else rng.choice(sorted(CHANGES))
        with db.write() as session:
            if step:
                CHANGES[name](session, built, rng)
        told.append((*_record(db, built, documents), name))
    for then, expected, name in told:
        with db.read() as session, as_of(session, built.tenant, then, documents) as past:
            found = {app: verdicts(past, built, app, documents) for app in APPS}
        assert found == expected, f"seed {seed}, epoch {then.epoch}, after {name}"


def _record(db: Database, built: Built, documents: list[int]) -> tuple[Moment, Any]:
    with db.read() as session:
        at = now(session)
        epoch = current(session, built.tenant)
        return Moment(epoch, at), {app: verdicts(session, built, app, documents, at) for app in APPS}


WORLD = parse(
    {
        "users": {"ana": {"groups": ["staff"], "email": "ana@example.com"}, "bob": None},
        "groups": {"staff": None},
        "sources": {"s": {"max_age": 3600, "crawled": 60}},
        "nodes": {"root": {"allow": ["group:staff", {"principal": "user:bob", "until": 100}]}},
        "documents": {"note": "root"},
    }
)


@pytest.fixture
def built(db: Database) -> Built:
    with db.write() as session:
        return build(session, WORLD)


def _readers(db: Database, built: Built, **when: Any) -> list[str]:
    with db.read() as session:
        then = moment(session, built.tenant, **when)
        document = built.documents["note"]
        with as_of(session, built.tenant, then, [document]) as past:
            return [one.user for one in who_can_read(past, built.tenant, document).readers]


def _space_out(db: Database, built: Built) -> dict[int, datetime]:
    """Moves the recorded times a minute apart, the last one into this minute."""
    with db.write() as session:
        _age(session, Document, "created_at")
        last, at = current(session, built.tenant), now(session)
        times = {one: at - timedelta(minutes=last - one, seconds=1) for one in range(1, last + 1)}
        for epoch, time in times.items():
            session.execute(
                update(EpochTime).where(EpochTime.tenant_id == built.tenant, EpochTime.epoch == epoch).values(at=time)
            )
    return times


def _age(session: Session, table: Any, column: str) -> None:
    session.execute(update(table).values({column: datetime(2020, 1, 1, tzinfo=UTC)}))


def test_a_time_finds_its_epoch(db: Database, built: Built) -> None:
    with db.write() as session:
        directory.remove(session, built.tenant, "user:ana")
    times = _space_out(db, built)
    last = max(times)
    assert _readers(db, built) == ["bob"]
    assert _readers(db, built, at=times[last]) == ["bob"]
    assert _readers(db, built, at=times[last] - timedelta(seconds=1)) == ["ana", "bob"]
    assert _readers(db, built, epoch=last - 1, at=times[last]) == ["ana", "bob"]
    with db.read() as session:
        assert moment(session, built.tenant, epoch=last) == Moment(last, times[last])


def test_entries_and_freshness_are_judged_at_the_time(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
        _age(session, Document, "created_at")
        at, epoch = now(session), current(session, built.tenant)
    assert _readers(sqlite_db, built, epoch=epoch, at=at) == ["ana", "bob"]
    assert _readers(sqlite_db, built, epoch=epoch, at=at + timedelta(seconds=200)) == ["ana"]
    assert _readers(sqlite_db, built, epoch=epoch, at=at + timedelta(seconds=3600)) == []


def test_a_document_that_was_not_there_yet_was_nobodys(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
        made = session.get_one(Document, built.documents["note"]).created_at
    assert _readers(sqlite_db, built, epoch=1, at=made - timedelta(seconds=1)) == []


def test_a_time_to_come_and_one_before_the_record_are_refused(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
    with sqlite_db.read() as session:
        with pytest.raises(InvalidError, match="still to come"):
            moment(session, built.tenant, at=now(session) + timedelta(hours=1))
        with pytest.raises(NotFoundError, match="nothing is recorded"):
            moment(session, built.tenant, at=datetime(2001, 1, 1, tzinfo=UTC))
        with pytest.raises(NotFoundError, match="no epoch 999"):
            moment(session, built.tenant, epoch=999)


def test_somebody_who_is_gone_is_explained_as_of_then(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
        _age(session, Document, "created_at")
        then = Moment(current(session, built.tenant), now(session))
    with sqlite_db.write() as session:
        directory.remove(session, built.tenant, "user:ana")
        directory.remove(session, built.tenant, "group:staff")
    document = built.documents["note"]
    with sqlite_db.read() as session, as_of(session, built.tenant, then, [document]) as past:
        told = explain(past, resolve_subject(past, Caller(built.tenant, "Ana@Example.com")), document)
    assert (told.allowed, told.epoch, told.path) == (True, then.epoch, ("user:ana", "group:staff"))


def test_what_goes_leaves_what_it_was(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
    with sqlite_db.write() as session:
        directory.remove(session, built.tenant, "user:ana")
    with sqlite_db.read() as session:
        state = session.scalars(select(StateHistory.state).where(StateHistory.kind == "user")).all()[-1]
        said = {"email": "ana@example.com", "active": True, "email_verified": True, "attributes": {}}
        assert state == {"key": "ana", **said, "stated": {"admin": said}}


def test_the_past_can_not_be_changed_through_its_copy(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
    with sqlite_db.read() as session:
        then = moment(session, built.tenant)
        with as_of(session, built.tenant, then, built.documents.values()) as past:
            nodes.state(past, past.get_one(nodes.AclNode, built.nodes["root"]), access_spec(["everyone"]))
            past.execute(update(Principal).values(subject_id=None))
            past.execute(update(Source).values(state="deleted"))
            past.commit()
    assert _readers(sqlite_db, built) == ["ana", "bob"]
