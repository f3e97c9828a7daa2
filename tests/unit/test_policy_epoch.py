"""Every change to an input of a decision raises the epoch, once a transaction; scopes from the cache obey it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.declare.directories import put_directory
from api.declare.sources import delete_source, put_source
from core.db import Database, now
from core.tables import Ace, AclNode, Document, Source, StateHistory, Tenant, User
from ingest.deletion import await_move, hold_documents, move
from policies import decide, directory, epoch, nodes, scope, subject
from policies.break_glass import open_glass
from policies.entries import StatedEntry, add_entry
from policies.labels import classifications, set_classifications
from policies.model import AccessSpec, Entry, access_spec
from policies.rules_store import put_rule
from tests.factories.world import Built, WApp, WDoc, WEntry, WNode, World, WSource, WUser, build

WORLD = World(
    users={"ana": WUser(groups=("staff",), email="ana@example.com"), "bob": WUser()},
    groups={"staff": (), "eng": ()},
    apps={"chat": WApp()},
    nodes={
        "root": WNode("s", entries=(WEntry("group:staff"),), labels={"classification": "internal"}),
        "place": WNode("s", parent="root", entries=(WEntry("group:ghost", "deny"),)),
    },
    documents={"note": WDoc("root")},
)
Change = Callable[[Session, Built], Any]
PRESENT = scope.present
STANDING = decide.standing_rules


def _put(
    session: Session,
    built: Built,
    spec: AccessSpec,
    *,
    key: str = "place",
    parent: str | None = "root",
    title: str = "",
) -> AclNode:
    tenant = session.get_one(Tenant, built.tenant)
    above = built.nodes[parent] if parent else None
    return nodes.put_container(
        session, tenant, built.sources["s"], key=key, parent=above, title=title or key, spec=spec
    )


def _ghost(session: Session) -> int:
    return session.scalars(select(Ace.id).where(Ace.effect == "deny", Ace.epoch_to.is_(None))).one()


def _note(session: Session, built: Built) -> Document:
    return session.get_one(Document, built.documents["note"])


def _source(session: Session, built: Built, **values: Any) -> dict[str, Any]:
    """The canonical body of the world's source, with some values of its own."""
    row = session.get_one(Source, built.sources["s"])
    kept = {name: getattr(row, name) for name in ("connector", "config", "access", "schedule", "base", "priority")}
    return {**kept, "max_access_age": row.max_access_age_s, **values}


def _state(session: Session, built: Built, spec: AccessSpec, origin: Any = "admin") -> None:
    nodes.state(session, session.get_one(AclNode, built.nodes["root"]), spec, origin=origin)


DENY = access_spec([], ["group:ghost"])
CHANGES: dict[str, Change] = {
    "a new user": lambda s, b: directory.put_user(s, b.tenant, "cy", email="cy@example.com"),
    "a user switched off": lambda s, b: directory.put_user(s, b.tenant, "ana", email="ana@example.com", active=False),
    "another address": lambda s, b: directory.put_user(s, b.tenant, "ana", email="a@example.com"),
    "an address no longer verified": lambda s, b: directory.put_user(
        s, b.tenant, "ana", email="ana@example.com", email_verified=False
    ),
    "other attributes": lambda s, b: directory.put_user(
        s, b.tenant, "ana", email="ana@example.com", attributes={"clearance": "public"}
    ),
    "a user removed": lambda s, b: directory.remove(s, b.tenant, "user:ana"),
    "a new group": lambda s, b: directory.put_group(s, b.tenant, "ghost"),
    "a group removed": lambda s, b: directory.remove(s, b.tenant, "group:staff"),
    "a group joined": lambda s, b: directory.set_containers(s, b.tenant, "user:bob", ["staff", "eng"]),
    "a group left": lambda s, b: directory.set_containers(s, b.tenant, "user:ana", []),
    "other members": lambda s, b: directory.set_members(s, b.tenant, "eng", ["user:bob", "group:staff"]),
    "a member taken out": lambda s, b: directory.remove_member(s, b.tenant, "staff", "user:ana"),
    "a new app": lambda s, b: directory.put_app(s, b.tenant, "desk"),
    "an app's sources": lambda s, b: directory.put_app(s, b.tenant, "chat", sources=["s"]),
    "an app switched off": lambda s, b: directory.put_app(s, b.tenant, "chat", active=False),
    "an app removed": lambda s, b: directory.remove(s, b.tenant, "app:chat"),
    "a new container": lambda s, b: _put(s, b, access_spec(["user:bob"]), key="new"),
    "other entries": lambda s, b: _put(s, b, access_spec([], ["group:ghost", "user:bob"])),
    "another mode": lambda s, b: _put(s, b, access_spec([], ["group:ghost"], mode="break")),
    "another parent": lambda s, b: _put(s, b, DENY, parent=None),
    "other labels": lambda s, b: _put(s, b, access_spec([], ["group:ghost"], labels={"classification": "restricted"})),
    "an admin's entry": lambda s, b: _state(s, b, access_spec([], ["user:bob"])),
    "an admin's label": lambda s, b: _state(s, b, access_spec(labels={"classification": "restricted"})),
    "a shared node": lambda s, b: nodes.shared_node(
        s, b.tenant, b.sources["s"], s.get_one(AclNode, b.nodes["root"]), access_spec(["user:bob"])
    ),
    "the closed node": lambda s, b: nodes.closed_node(s, b.tenant, b.sources["s"]),
    "a waiver": lambda s, b: nodes.waive(s, b.tenant, _ghost(s)),
    "an entry of an admin's with an end": lambda s, b: add_entry(
        s, b.tenant, StatedEntry("s:place", "user:bob", expires_at=now(s) + timedelta(hours=1))
    ),
    "emergency access": lambda s, b: open_glass(
        s, b.tenant, "bob", ["s:place"], reason="the night shift needs it", seconds=60, by="user:ana"
    ),
    "a rule": lambda s, b: put_rule(s, b.tenant, "shut", effect="forbid", condition="principal.id == 'bob'"),
    "a rule on trial": lambda s, b: put_rule(
        s, b.tenant, "trial", effect="permit", condition="principal.id == 'bob'", enforced=False
    ),
    "the order of classifications": lambda s, b: set_classifications(s, b.tenant, ["internal", "public"]),
    "a source's limit": lambda s, b: put_source(s, b.tenant, "s", _source(s, b, max_access_age=60)),
    "a source deleted": lambda s, b: delete_source(s, b.tenant, "s"),
    "a document moved": lambda s, b: move(s, _note(s, b), b.nodes["place"]),
    "a document that is to move": lambda s, b: await_move(s, _note(s, b), b.nodes["place"]),
    "a document held": lambda s, b: hold_documents(s, b.tenant, [b.documents["note"]]),
    "a directory": lambda s, b: put_directory(s, b.tenant, "corp", {"config": {}, "schedule": None, "max_age": 60}),
}
NO_CHANGES: dict[str, Change] = {
    "the same user": lambda s, b: directory.put_user(s, b.tenant, "ana", email="Ana@Example.com"),
    "the same group": lambda s, b: directory.put_group(s, b.tenant, "staff"),
    "the same app": lambda s, b: directory.put_app(s, b.tenant, "chat"),
    "the same groups": lambda s, b: directory.set_containers(s, b.tenant, "user:ana", ["staff"]),
    "the same members": lambda s, b: directory.set_members(s, b.tenant, "staff", ["user:ana"]),
    "nobody taken out": lambda s, b: directory.remove_member(s, b.tenant, "staff", "user:bob"),
    "a widening that waits": lambda s, b: _put(s, b, access_spec(["user:bob"], ["group:ghost"])),
    "the same access": lambda s, b: _put(s, b, DENY),
    "only another title": lambda s, b: _put(s, b, DENY, title="Plans"),
    "nothing of an admin's": lambda s, b: _state(s, b, AccessSpec()),
    "nothing to release": lambda s, b: nodes.release(s, s.scalars(select(AclNode)).all()),
    "the same order": lambda s, b: set_classifications(s, b.tenant, list(classifications(s, b.tenant))),
    "a document where it stands": lambda s, b: move(s, _note(s, b), b.nodes["root"]),
}


def _built(db: Database, world: World = WORLD) -> Built:
    with db.write() as session:
        return build(session, world)


def _epoch(db: Database, built: Built) -> int:
    with db.read() as session:
        return epoch.current(session, built.tenant)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_raises_the_epoch_once(sqlite_db: Database, name: str) -> None:
    built = _built(sqlite_db)
    before = _epoch(sqlite_db, built)
    with sqlite_db.write() as session:
        CHANGES[name](session, built)
    assert _epoch(sqlite_db, built) == before + 1


@pytest.mark.parametrize("name", NO_CHANGES)
def test_what_changes_nothing_leaves_the_epoch(sqlite_db: Database, name: str) -> None:
    built = _built(sqlite_db)
    before = _epoch(sqlite_db, built)
    with sqlite_db.write() as session:
        NO_CHANGES[name](session, built)
    assert _epoch(sqlite_db, built) == before


def test_many_changes_in_one_transaction_raise_it_once(db: Database) -> None:
    built = _built(db)
    other = _built(db)
    before, others = _epoch(db, built), _epoch(db, other)
    with db.write() as session:
        directory.put_user(session, built.tenant, "dan")
        directory.put_user(session, built.tenant, "eve")
        directory.set_containers(session, built.tenant, "user:dan", ["staff"])
        _state(session, built, access_spec(["user:eve"]))
    assert (_epoch(db, built), _epoch(db, other)) == (before + 1, others)


def test_releasing_what_waited_raises_it(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    with sqlite_db.write() as session:
        _put(session, built, access_spec(["user:bob"], ["group:ghost"]))
    before = _epoch(sqlite_db, built)
    with sqlite_db.write() as session:
        assert nodes.release(session, session.scalars(select(AclNode)).all()) == 1
    assert _epoch(sqlite_db, built) == before + 1


def test_what_is_rolled_back_leaves_the_epoch(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    before = _epoch(sqlite_db, built)
    with contextlib.suppress(RuntimeError), sqlite_db.write() as session:
        directory.put_user(session, built.tenant, "dan")
        raise RuntimeError
    assert _epoch(sqlite_db, built) == before


def test_a_savepoint_that_is_rolled_back_takes_only_its_own_raise_along(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    before = _epoch(sqlite_db, built)
    with sqlite_db.write() as session:
        savepoint = session.begin_nested()
        directory.put_user(session, built.tenant, "dan")
        savepoint.rollback()
        directory.put_user(session, built.tenant, "eve")
    assert _epoch(sqlite_db, built) == before + 1
    with sqlite_db.write() as session:
        directory.put_user(session, built.tenant, "fay")
        with session.begin_nested():
            directory.put_user(session, built.tenant, "gil")
    assert _epoch(sqlite_db, built) == before + 2


def test_two_transactions_of_one_session_raise_it_twice(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    before = _epoch(sqlite_db, built)
    with Session(sqlite_db.engine.execution_options(ambit_write=True)) as session:
        for key in ("dan", "eve"):
            with session.begin():
                directory.put_user(session, built.tenant, key)
    assert _epoch(sqlite_db, built) == before + 2


def test_the_old_state_is_kept_with_its_epochs(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    with sqlite_db.write() as session:
        directory.put_user(session, built.tenant, "ana", email="ana@example.com", active=False)
    with sqlite_db.read() as session:
        kept = session.scalars(select(StateHistory).where(StateHistory.kind == "user")).one()
        row = session.scalars(select(User).where(User.tenant_id == built.tenant, User.key == "ana")).one()
        assert kept.state["active"] is True
        assert kept.epoch_from < kept.epoch_to == row.epoch_from == epoch.current(session, built.tenant)


def _scope(db: Database, built: Built, cache: scope.ScopeCache, user: str = "ana") -> scope.ReadScope:
    with db.read() as session:
        who = subject.resolve_subject(session, subject.Caller(built.tenant, user))
        return scope.readable(session, who, cache)


def _reads(db: Database, built: Built, cache: scope.ScopeCache, node: str = "root") -> bool:
    found = _scope(db, built, cache)
    return bool(found.sources) and (built.nodes[node] in found.nodes) != found.complement


def test_another_connection_obeys_right_after_the_commit(db: Database) -> None:
    built = _built(db)
    cache = scope.ScopeCache()
    other = Database(db.url.render_as_string(hide_password=False))
    try:
        assert _reads(db, built, cache)
        with other.write() as session:
            directory.set_containers(session, built.tenant, "user:ana", [])
        assert not _reads(db, built, cache)
        with other.write() as session:
            directory.set_containers(session, built.tenant, "user:ana", ["staff"])
        assert _reads(db, built, cache)
    finally:
        other.close()


def test_a_snapshot_sees_one_epoch_and_what_belongs_to_it(db: Database) -> None:
    built = _built(db)
    cache = scope.ScopeCache()
    with db.read() as reading:
        who = subject.resolve_subject(reading, subject.Caller(built.tenant, "ana"))
        with db.write() as session:
            directory.set_containers(session, built.tenant, "user:ana", [])
        assert decide.decide(reading, who, [built.documents["note"]])[built.documents["note"]].allowed
        old = scope.readable(reading, who, cache)
    assert old.epoch < _epoch(db, built)
    assert not _reads(db, built, cache)


def test_the_cache_serves_while_nothing_changes(sqlite_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    built = _built(sqlite_db)
    cache = scope.ScopeCache()
    first = _scope(sqlite_db, built, cache)
    monkeypatch.setattr(scope, "_told", None)
    assert _scope(sqlite_db, built, cache).nodes == first.nodes
    with pytest.raises(TypeError):
        _scope(sqlite_db, built, cache, "bob")


def test_tokens_that_claim_other_things_share_no_scope(sqlite_db: Database) -> None:
    built, cache = _built(sqlite_db), scope.ScopeCache()
    with sqlite_db.read() as session:
        plain = subject.resolve_subject(session, subject.Caller(built.tenant, "bob"))
        staff = subject.resolve_subject(session, subject.Caller(built.tenant, "ana")).principals
        claiming = replace(plain, principals=plain.principals | staff, claims="0a1b")
        assert scope.readable(session, claiming, cache).nodes == (built.nodes["root"],)
        assert scope.readable(session, plain, cache).nodes == ()
        assert scope.readable(session, claiming, cache).nodes == (built.nodes["root"],)


def test_what_is_not_committed_is_not_cached(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    cache = scope.ScopeCache()
    with contextlib.suppress(RuntimeError), sqlite_db.write() as session:
        directory.set_containers(session, built.tenant, "user:ana", [])
        who = subject.resolve_subject(session, subject.Caller(built.tenant, "ana"))
        assert scope.readable(session, who, cache).nodes == ()
        raise RuntimeError
    with sqlite_db.write() as session:
        directory.put_user(session, built.tenant, "dan")
    assert _reads(sqlite_db, built, cache)


@pytest.mark.parametrize("bound", ["not_before", "expires_at"])
def test_entries_and_the_cache_turn_at_exactly_their_time(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    built = _built(sqlite_db)
    with sqlite_db.read() as session:
        turn = now(session) + timedelta(hours=1)
    timed = Entry("user:bob", not_before=turn) if bound == "not_before" else Entry("user:bob", expires_at=turn)
    with sqlite_db.write() as session:
        _state(session, built, AccessSpec(entries=frozenset({timed})))
    cache = scope.ScopeCache()
    seen = []
    for shift in (-1, 0, 1):
        at = turn + timedelta(microseconds=shift)
        monkeypatch.setattr(decide, "standing_rules", lambda s, tenant, at=at: STANDING(s, tenant)._replace(at=at))
        monkeypatch.setattr(scope, "present", lambda s, tenant, at=at: replace(PRESENT(s, tenant), at=at))
        found = _scope(sqlite_db, built, cache, "bob")
        with sqlite_db.read() as session:
            who = subject.resolve_subject(session, subject.Caller(built.tenant, "bob"))
            verdict = decide.decide(session, who, [built.documents["note"]])[built.documents["note"]]
        assert verdict.allowed == ((built.nodes["root"] in found.nodes) != found.complement)
        seen.append(verdict.allowed)
    assert seen == ([False, True, True] if bound == "not_before" else [True, False, False])


def test_freshness_is_asked_outside_the_cache(sqlite_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    built = _built(sqlite_db, replace(WORLD, sources={"s": WSource(max_age=3600, crawled=0)}))
    cache = scope.ScopeCache()
    assert _reads(sqlite_db, built, cache)
    later = timedelta(hours=2)
    monkeypatch.setattr(scope, "present", lambda s, one: replace(PRESENT(s, one), at=PRESENT(s, one).at + later))
    assert _scope(sqlite_db, built, cache).empty


def test_a_scope_is_made_by_nobody_else() -> None:
    with pytest.raises(TypeError):
        scope.ReadScope(object(), tenant=1, nodes=(1,), complement=False, sources=[1], epoch=1)
