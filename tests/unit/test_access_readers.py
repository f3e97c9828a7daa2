"""Who can read, told set by set, is what is decided one by one; a simulated change does what the change does."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from core.db import Database, now
from core.tables import Ace, Base, StateHistory, User
from policies import directory, nodes
from policies.directories import standing
from policies.model import access_spec
from policies.paths import membership_path
from policies.people import load_people
from policies.principals import of_user
from policies.readers import who_can_read
from policies.simulate import Side, simulate
from policies.subject import Caller, Subject, resolve_subject
from tests.factories.access_changes import CHANGES, own_documents, verdicts
from tests.factories.random_world import random_world
from tests.factories.world import Built, build, parse

SEEDS = [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(3, 60))]


def _random(db: Database, seed: int, changes: int = 6) -> tuple[Built, list[int]]:
    rng = Random(seed)
    world = random_world(rng)
    with db.write() as session:
        built = build(session, world)
        for name in rng.sample(sorted(CHANGES), changes):
            CHANGES[name](session, built, rng)
    return built, own_documents(built, world)


@pytest.mark.parametrize("seed", SEEDS)
def test_everyone_at_once_is_everyone_one_by_one(sqlite_db: Database, seed: int) -> None:
    built, _ = _random(sqlite_db, seed)
    with sqlite_db.read() as session:
        people = load_people(session, built.tenant)
        stale = standing(session, built.tenant).stale
        assert {id_: one.principals for id_, one in people.items()} == {
            one.id: of_user(session, built.tenant, one.id, stale=stale) for one in _people(session, built)
        }


def _people(session: Session, built: Built) -> list[User]:
    """Active people, but those of whom only directories speak that are too old."""
    stale = standing(session, built.tenant).stale
    rows = session.scalars(select(User).where(User.tenant_id == built.tenant, User.active))
    return [one for one in rows if not one.stated or not stale.issuperset(one.stated)]


@pytest.mark.parametrize("app", [None, "chat", "no-such-app"])
@pytest.mark.parametrize("seed", SEEDS)
def test_readers_are_those_whom_the_decision_allows(sqlite_db: Database, seed: int, app: str | None) -> None:
    built, documents = _random(sqlite_db, seed)
    with sqlite_db.read() as session:
        at = now(session)
        decided = verdicts(session, built, app, documents, at)
        active = {one.key for one in _people(session, built)}
        for document in documents:
            told = who_can_read(session, built.tenant, document, app=app, at=at)
            expected = {user: ok for (user, one), ok in decided.items() if one == document and user in active}
            assert {one.user for one in told.readers} == {user for user, (ok, _) in expected.items() if ok}
            assert told.refused == Counter(reason for ok, reason in expected.values() if not ok)
            for one in told.readers:
                _check_path(session, resolve_subject(session, Caller(built.tenant, one.user, app)), one.by, one.path)


def _check_path(session: Session, subject: Subject, by: str | None, path: tuple[str, ...]) -> None:
    user = subject.name
    if by is None:
        assert path == (f"user:{user}",)
        return
    names = session.execute(select(Ace.principal_id, Ace.id)).all()
    ways = [membership_path(session, subject, principal) for principal, _ in names]
    shortest = {len(way) for way in ways if way and way[-1] == by}
    assert len(path) in shortest
    assert (path[0], path[-1]) == (f"user:{user}", by)


def test_a_document_that_is_not_there_has_no_readers(sqlite_db: Database) -> None:
    built, _ = _random(sqlite_db, 1, changes=0)
    with sqlite_db.read() as session:
        told = who_can_read(session, built.tenant, 10**9)
    assert (told.readers, set(told.refused)) == ((), {"unknown"} if told.people else set())


@pytest.mark.parametrize("seeds", [1, pytest.param(12, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_simulated_change_is_what_the_change_does(sqlite_db: Database, name: str, seeds: int) -> None:
    for seed, app in itertools.product(range(seeds), (None, "chat")):
        built, documents = _random(sqlite_db, 100 + seed)
        with sqlite_db.read() as session:
            told = simulate(session, built.tenant, lambda s, b=built, n=seed: CHANGES[name](s, b, Random(n)), app=app)
            before = {key for key, (ok, _) in verdicts(session, built, app, documents, told.at).items() if ok}
        with sqlite_db.write() as session:
            CHANGES[name](session, built, Random(seed))
            session.flush()
            after = {key for key, (ok, _) in verdicts(session, built, app, documents, told.at).items() if ok}
        assert told.complete
        assert _counts(told.gains) == _expected(after - before)
        assert _counts(told.losses) == _expected(before - after)


def _counts(side: Side) -> tuple[int, int, int]:
    return side.people, side.documents, side.pairs


def _expected(pairs: set[tuple[str, int]]) -> tuple[int, int, int]:
    return len({user for user, _ in pairs}), len({document for _, document in pairs}), len(pairs)


WORLD = parse(
    {
        "users": {"ana": {"groups": ["staff"]}, "bob": {"groups": ["staff"]}, "cy": None},
        "groups": {"staff": None},
        "nodes": {"root": {"allow": ["group:staff"]}, "pay": {"parent": "root", "inherit": False}},
        "documents": {"one": "root", "two": "root", "slip": "pay"},
    }
)


def test_it_names_people_and_documents(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
    with sqlite_db.read() as session:
        told = simulate(session, built.tenant, lambda s: directory.remove_member(s, built.tenant, "staff", "user:ana"))
    assert _counts(told.losses) == (1, 2, 2)
    assert _counts(told.gains) == (0, 0, 0)
    assert [(one.user, one.documents) for one in told.losses.samples] == [("ana", 2)]
    assert told.losses.samples[0].samples[0].startswith("s:")
    assert told.as_dict()["losses"]["samples"][0]["user"] == "ana"


def test_what_was_not_asked_is_said(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
    with sqlite_db.read() as session:
        change = access_spec(["user:ana", "user:bob", "user:cy"])
        told = simulate(session, built.tenant, lambda s: nodes.state(s, _node(s, built), change), most=1)
    assert not told.complete


def _node(session: Session, built: Built) -> nodes.AclNode:
    return session.get_one(nodes.AclNode, built.nodes["pay"])


def test_a_simulation_writes_and_locks_nothing(db: Database) -> None:
    """In its middle another transaction changes the very same rows and commits, and no statement of it writes."""
    with db.write() as session:
        built = build(session, WORLD)
    written: list[str] = []
    event.listen(
        db.engine, "before_cursor_execute",
        lambda conn, cursor, statement, *rest: written.append(statement) if not _reads(statement) else None,
    )  # fmt: skip

    def change(session: Session) -> None:
        nodes.state(session, _node(session, built), access_spec(["everyone"]))
        mine = list(written)
        with db.write() as other:
            nodes.state(other, _node(other, built), access_spec(["user:cy"]))
            directory.put_group(other, built.tenant, "elsewhere")
        written[:] = mine

    with db.read() as session:
        before = {table.name: _rows(session, table) for table in Base.metadata.sorted_tables}
        told = simulate(session, built.tenant, change)
        assert {table.name: _rows(session, table) for table in Base.metadata.sorted_tables} == before
    assert written == []
    assert _counts(told.gains) == (3, 1, 3)


def _rows(session: Session, table: object) -> int:
    return len(session.execute(select(table)).all())  # type: ignore[call-overload]


def _reads(statement: str) -> bool:
    words = statement.lstrip().split(None, 1)
    return not words or words[0].upper() in {"SELECT", "WITH", "BEGIN", "ROLLBACK", "PRAGMA", "SHOW"}


def test_history_is_not_part_of_the_copy(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
        directory.remove(session, built.tenant, "user:cy")
    with sqlite_db.read() as session:
        seen: list[int] = []
        simulate(session, built.tenant, lambda s: seen.append(len(s.scalars(select(StateHistory)).all())))
    assert seen == [0]
