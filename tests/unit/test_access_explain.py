"""What explain tells of a decision, and which labels hold where."""

from __future__ import annotations

import json

import pytest

from core.db import Database
from policies import labels, subject
from policies.claims import claims_of
from policies.explain import Explanation, explain
from tests.factories.world import Built, World, build, parse

BODY = {
    "users": {"ana": {"groups": ["sensors"], "email": "ana@example.com"}, "bob": None, "cy": None},
    "groups": {"sensors": ["engineering"], "engineering": ["staff"], "staff": None, "short": None},
    "members": {"short": ["everyone"]},
    "apps": {"chat": {"sources": ["s"]}, "desk": {"sources": []}},
    "sources": {"s": {"max_age": 3600, "crawled": 60}},
    "nodes": {
        "root": {
            "allow": ["group:staff"],
            "deny": ["user:cy"],
            "labels": {"classification": "confidential", "department": "all"},
            "admin": {"deny": ["app:desk"], "labels": {"classification": "internal", "region": "eu"}},
        },
        "plans": {
            "parent": "root",
            "allow": ["user:ana@example.com", {"principal": "user:bob", "until": -60}],
            "deny": [{"principal": "group:ghost", "waived": True}],
        },
        "pay": {
            "parent": "plans",
            "inherit": False,
            "allow": ["group:short", "app:chat", {"principal": "user:bob", "app": "desk"}],
            "labels": {"classification": "restricted", "region": "us"},
        },
        "shut": {"parent": "pay", "closed": True},
        "low": {"parent": "pay", "labels": {"classification": "public"}},
        "admin-low": {"parent": "pay", "admin": {"labels": {"classification": "public"}}},
        "odd": {"parent": "root", "labels": {"classification": "cosmic"}},
        "alone": None,
    },
    "documents": {
        "top": "root",
        "plan": "plans",
        "slip": "pay",
        "lost": "shut",
        "waiting": {"node": "plans", "pending": "pay"},
        "theirs": "root",
    },
    "foreign": ["theirs"],
}


@pytest.fixture
def built(sqlite_db: Database) -> Built:
    with sqlite_db.write() as session:
        return build(session, _world())


def _world() -> World:
    return parse(BODY)


def _explain(db: Database, built: Built, person: str, document: str, app: str | None = None) -> Explanation:
    with db.read() as session:
        who = subject.resolve_subject(session, subject.Caller(built.tenant, person, app))
        return explain(session, who, built.documents[document])


def test_the_deciding_entry_and_the_shortest_way_to_it(sqlite_db: Database, built: Built) -> None:
    told = _explain(sqlite_db, built, "ana", "top")
    assert (told.allowed, told.reason, told.decided_at) == (True, "allowed", "root")
    assert told.entry is not None
    assert (told.entry.principal, told.entry.effect, told.entry.origin) == ("group:staff", "allow", "source")
    assert told.path == ("user:ana", "group:sensors", "group:engineering", "group:staff")


def test_an_address_and_everyone_are_steps_of_the_way(sqlite_db: Database, built: Built) -> None:
    assert _explain(sqlite_db, built, "ana", "plan").path == ("user:ana", "user:ana@example.com")
    assert _explain(sqlite_db, built, "bob", "slip").path == ("user:bob", "everyone", "group:short")


def test_a_token_is_a_step_of_the_way(sqlite_db: Database, built: Built) -> None:
    with sqlite_db.read() as session:
        claims = claims_of(["sensors", "nowhere"], {})
        who = subject.resolve_subject(session, subject.Caller(built.tenant, "bob", claims=claims))
        told = explain(session, who, built.documents["top"])
    assert told.path == ("user:bob", "token", "group:sensors", "group:engineering", "group:staff")


def test_a_deny_tells_what_it_outweighed(sqlite_db: Database, built: Built) -> None:
    told = _explain(sqlite_db, built, "ana", "plan", "desk")
    assert told.reason == "app_source"
    told = _explain(sqlite_db, built, "cy", "top")
    assert told.reason == "denied"
    assert told.path == ("user:cy",)
    told = _explain(sqlite_db, built, "ana", "plan")
    assert [one.principal for one in told.losing] == ["group:staff"]


def test_each_entry_says_why_it_does_not_count(sqlite_db: Database, built: Built) -> None:
    told = _explain(sqlite_db, built, "bob", "slip")
    why = {(node.key, one.principal): one.why for node in told.chain for one in node.entries}
    assert why == {
        ("pay", "group:short"): "counts",
        ("pay", "app:chat"): "app_never_allows",
        ("pay", "user:bob"): "other_app",
        ("plans", "user:ana@example.com"): "above_break",
        ("plans", "user:bob"): "above_break",
        ("plans", "group:ghost"): "above_break",
        ("root", "group:staff"): "above_break",
        ("root", "user:cy"): "above_break",
        ("root", "app:desk"): "not_yours",
    }
    below = _explain(sqlite_db, built, "bob", "plan")
    assert {one.principal: one.why for one in below.chain[0].entries} == {
        "user:ana@example.com": "not_yours",
        "user:bob": "ended",
        "group:ghost": "waived",
    }


def test_a_closed_place_is_named(sqlite_db: Database, built: Built) -> None:
    told = _explain(sqlite_db, built, "ana", "lost")
    assert (told.reason, told.decided_at, told.entry) == ("access_unreadable", "shut", None)


def test_a_waiting_document_shows_both_places(sqlite_db: Database, built: Built) -> None:
    told = _explain(sqlite_db, built, "ana", "waiting")
    assert [node.key for node in told.chain] == ["plans", "root"]
    assert [node.key for node in told.waiting] == ["pay", "plans", "root"]
    assert told.allowed
    held = {one.name: one.value for one in told.labels}
    assert held["classification"] == "restricted"


def test_the_gates_of_the_source(sqlite_db: Database, built: Built) -> None:
    gate = _explain(sqlite_db, built, "ana", "top", "chat").gate
    assert gate is not None
    assert (gate.source, gate.shut, gate.max_access_age_s, gate.app_sources) == ("s", None, 3600, ("s",))
    assert gate.age_s is not None
    assert gate.age_s >= 60
    shut = _explain(sqlite_db, built, "ana", "top", "desk").gate
    assert shut is not None
    assert (shut.shut, shut.app, shut.app_sources) == ("app_source", "desk", ())


def test_what_is_not_there_is_told_like_what_is_another_tenants(sqlite_db: Database, built: Built) -> None:
    foreign = _explain(sqlite_db, built, "ana", "theirs")
    assert foreign.reason == "unknown"
    assert (foreign.chain, foreign.gate, foreign.labels, foreign.entry) == ((), None, (), None)
    with sqlite_db.read() as session:
        who = subject.resolve_subject(session, subject.Caller(built.tenant, "ana"))
        missing = explain(session, who, 10**9)
    assert missing.as_dict().keys() == foreign.as_dict().keys()
    assert missing.reason == "unknown"


def test_it_is_plain_json(sqlite_db: Database, built: Built) -> None:
    told = _explain(sqlite_db, built, "ana", "top", "chat")
    body = json.loads(json.dumps(told.as_dict()))
    assert body["epoch"] == told.epoch
    assert body["at"] == told.at.isoformat()
    assert "counts" in {entry["why"] for entry in body["chain"][0]["entries"]}


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("alone", {"classification": "internal"}),
        ("root", {"classification": "confidential", "department": "all", "region": "eu"}),
        ("pay", {"classification": "restricted", "department": "all", "region": "eu"}),
        ("low", {"classification": "internal", "department": "all", "region": "eu"}),
        ("admin-low", {"classification": "public", "department": "all", "region": "eu"}),
        ("odd", {"classification": "cosmic", "department": "all", "region": "eu"}),
    ],
)
def test_which_labels_hold(sqlite_db: Database, built: Built, node: str, expected: dict[str, str]) -> None:
    with sqlite_db.read() as session:
        found = labels.effective(session, built.tenant, [built.nodes[node]])
    assert found == {built.nodes[node]: expected}


def test_labels_of_many_nodes_are_one_answer_and_of_unknown_ones_none(sqlite_db: Database, built: Built) -> None:
    with sqlite_db.read() as session:
        found = labels.effective(session, built.tenant, [*built.nodes.values(), 10**9])
    assert found.keys() == set(built.nodes.values())


def test_the_highest_of_some_classifications() -> None:
    ordered = ["public", "internal", "confidential"]
    assert labels.highest(["public", "confidential", "internal"], ordered) == "confidential"
    assert labels.highest(["confidential", "odd"], ordered) == "odd"
    assert labels.highest([], ordered) == "internal"
