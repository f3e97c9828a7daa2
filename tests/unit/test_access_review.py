"""The access review: each kind of line, usage from the audit, and its files."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from core.audit import Audit
from core.db import Database, now
from core.errors import InvalidError, NotFoundError
from core.secrets import Keyring
from core.tables import AuditEntry, Document
from policies import directory, nodes
from policies.decide import decide
from policies.model import access_spec
from policies.review import Line, Review, review
from policies.review_pages import COLUMNS, to_csv, to_html
from policies.rules_store import put_rule
from policies.subject import Caller, resolve_subject
from tests.factories.access_changes import own_documents, verdicts
from tests.factories.random_world import random_world
from tests.factories.world import Built, build, parse

WORLD = {
    "users": {"ana": {"groups": ["staff"], "email": "ana@example.com"}, "bob": {"groups": ["staff"]}, "eve": None},
    "groups": {"staff": ["company"], "company": None, "temps": None},
    "nodes": {
        "root": {"allow": ["group:company", "group:ghost"]},
        "plans": {"parent": "root", "allow": ["group:temps"], "deny": ["user:bob"]},
        "open": {"parent": "root", "inherit": False, "allow": ["everyone"], "labels": {"classification": "restricted"}},
        "bare": {"parent": "root", "inherit": False},
    },
    "documents": {"hello": "root", "more": "root", "plan": "plans", "secret": "open", "lost": "bare"},
}


@pytest.fixture
def built(db: Database) -> Built:
    with db.write() as session:
        made = build(session, parse(WORLD))
        directory.put_user(session, made.tenant, "gone", active=False)
        root = session.get_one(nodes.AclNode, made.nodes["root"])
        nodes.state(session, root, access_spec(["user:gone"]), origin="admin")
        return made


def _shown(db: Database, built: Built, tmp_path: Path, actor: str, document: str) -> None:
    with db.write() as session:
        public = session.get_one(Document, built.documents[document]).public_id
        Audit(Keyring(tmp_path / "keys")).append(session, built.tenant, "query", actor, {"documents": [public]})


def _review(db: Database, built: Built, **options: object) -> Review:
    with db.read() as session:
        return review(session, built.tenant, **options)  # type: ignore[arg-type]


def _of(found: Review, kind: str) -> list[Line]:
    return [one for one in found.lines if one.kind == kind]


def test_who_can_read_what_and_why(db: Database, built: Built) -> None:
    found = _review(db, built, group="company")
    assert found.people == 2
    assert [(one.person, one.place, one.documents, one.by) for one in _of(found, "access")] == [
        ("ana", "open", 1, "everyone"),
        ("ana", "plans", 1, "group:company"),
        ("ana", "root", 2, "group:company"),
        ("bob", "open", 1, "everyone"),
        ("bob", "root", 2, "group:company"),
    ]
    assert _of(found, "access")[1].path == "user:ana > group:staff > group:company"


def test_everybody_is_reviewed_where_no_group_is_named(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, parse(WORLD))
    found = _review(sqlite_db, built)
    assert {one.person for one in _of(found, "access")} == {"ana", "bob", "eve"}


def test_last_used_comes_from_the_audit_of_queries(db: Database, built: Built, tmp_path: Path) -> None:
    _shown(db, built, tmp_path, "user:Ana@Example.com", "hello")
    used = {(one.person, one.place): one.last_used for one in _of(_review(db, built), "access")}
    assert used["ana", "root"] is not None
    assert used["bob", "root"] is None
    assert used["ana", "open"] is None


def test_a_grant_is_unused_until_somebody_was_shown_something_through_it(
    db: Database, built: Built, tmp_path: Path
) -> None:
    unused = {(one.place, one.by) for one in _of(_review(db, built), "unused_grant")}
    expected = {("root", "group:company"), ("root", "group:ghost"), ("root", "user:gone"), ("open", "everyone")}
    assert unused == {*expected, ("plans", "group:temps")}
    _shown(db, built, tmp_path, "user:ana", "plan")
    unused = {(one.place, one.by) for one in _of(_review(db, built), "unused_grant")}
    assert ("root", "group:company") not in unused
    assert {("plans", "group:temps"), ("open", "everyone")} <= unused
    assert {one.by for one in _of(_review(db, built, group="staff"), "unused_grant")} <= {"group:company"}


def test_a_grant_above_a_break_is_not_used_by_what_is_shown_below_it(sqlite_db: Database, tmp_path: Path) -> None:
    with sqlite_db.write() as session:
        built = build(session, parse(WORLD))
        root = session.get_one(nodes.AclNode, built.nodes["root"])
        nodes.state(session, root, access_spec(["user:ana"]), origin="admin")
    _shown(sqlite_db, built, tmp_path, "user:ana", "secret")
    unused = {(one.place, one.by) for one in _of(_review(sqlite_db, built), "unused_grant")}
    assert unused == {("root", "group:company"), ("root", "group:ghost"), ("plans", "group:temps")}
    _shown(sqlite_db, built, tmp_path, "user:ana", "plan")
    assert ("root", "group:company") not in {
        (one.place, one.by) for one in _of(_review(sqlite_db, built), "unused_grant")
    }


def test_what_was_shown_long_ago_does_not_count(sqlite_db: Database, tmp_path: Path) -> None:
    with sqlite_db.write() as session:
        built = build(session, parse(WORLD))
    _shown(sqlite_db, built, tmp_path, "user:ana", "hello")
    with sqlite_db.write() as session:
        session.execute(update(AuditEntry).values(at=now(session) - timedelta(days=10)))
    assert _used(_review(sqlite_db, built, days=11)) == {"ana"}
    assert _used(_review(sqlite_db, built, days=9)) == set()


def _used(found: Review) -> set[str]:
    return {one.person for one in _of(found, "access") if one.last_used}


def test_what_an_admin_should_look_at(db: Database, built: Built) -> None:
    found = _review(db, built)
    assert [(one.place, one.label, one.by, one.note) for one in _of(found, "exposed")] == [
        ("open", "restricted", "everyone", "3 of 3 people may read it")
    ]
    assert {(one.by, one.note) for one in _of(found, "orphan")} == {
        ("group:ghost", "means nobody known; named in entries"),
        ("user:gone", "is not active; named in entries"),
    }
    assert [one.place for one in _of(found, "no_entry")] == []
    assert _of(_review(db, built, highest="restricted"), "exposed") == []


@pytest.mark.parametrize("by", ["rule all", "group:both"])
def test_what_lets_each_person_in_opens_to_all_whatever_it_is_called(sqlite_db: Database, by: str) -> None:
    world = {
        "users": {"ana": {"groups": ["both"]}, "bob": {"groups": ["both"]}},
        "groups": {"both": None},
        "nodes": {
            "hr": {"labels": {"classification": "restricted"}, "allow": [by] if by == "group:both" else ["user:ana"]}
        },
        "documents": {"pay": "hr"},
    }
    with sqlite_db.write() as session:
        built = build(session, parse(world))
    assert bool(_of(_review(sqlite_db, built), "exposed")) is (by == "group:both")
    with sqlite_db.write() as session:
        put_rule(session, built.tenant, "all", effect="permit", condition="true")
    assert [(one.place, one.by, one.note) for one in _of(_review(sqlite_db, built), "exposed")] == [
        ("hr", by, "2 of 2 people may read it")
    ]


def test_places_are_named_as_elsewhere_and_single_documents_by_themselves(sqlite_db: Database) -> None:
    world = {
        "users": {"ana": None},
        "nodes": {
            "law/policies": {"allow": ["user:ana"]},
            "hr/policies": {"allow": ["user:ana"]},
            "=two": {"parent": "hr/policies", "labels": {"region": "eu"}},
        },
        "documents": {"a": "law/policies", "b": "hr/policies", "c": "=two", "d": "=two"},
    }
    with sqlite_db.write() as session:
        built = build(session, parse(world))
        session.get_one(nodes.AclNode, built.nodes["law/policies"]).title = "policies"
        session.get_one(nodes.AclNode, built.nodes["hr/policies"]).title = "Leave"
        first = min(session.get_one(Document, built.documents[one]).external_id for one in "cd")
    found = [one.place for one in _of(_review(sqlite_db, built), "access")]
    assert found == sorted([f"{first} and 1 more", "hr/policies (Leave)", "law/policies"])


def test_a_place_without_an_entry(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, parse(WORLD))
    assert [(one.place, one.documents) for one in _of(_review(sqlite_db, built), "no_entry")] == [("bare", 1)]


def test_wrong_questions(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, parse(WORLD))
    with pytest.raises(NotFoundError, match="no group 'nope'"):
        _review(sqlite_db, built, group="nope")
    with pytest.raises(InvalidError, match="no classification 'cosmic'"):
        _review(sqlite_db, built, highest="cosmic")


def test_its_files(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, parse(WORLD))
        root = session.get_one(nodes.AclNode, built.nodes["root"])
        root.key, root.title = "+cmd|'<b>'", ""
    found = _review(sqlite_db, built)
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(found.lines)
    assert {one["place"] for one in rows if one["person"] == "ana"} >= {"'+cmd|'<b>'"}
    page = to_html(found)
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "<script" not in page
    assert f"as of {found.at.strftime('%Y-%m-%d %H:%M UTC')}" in page
    assert f"usage since {found.since.date().isoformat()}" in page
    assert "<th>name</th>" in page, "what an orphan's line is about is a name"


@pytest.mark.parametrize("seed", [3, 4])
def test_the_access_lines_are_the_decisions(sqlite_db: Database, seed: int) -> None:
    from random import Random

    world = random_world(Random(seed))
    with sqlite_db.write() as session:
        built = build(session, world)
    with sqlite_db.read() as session:
        found = review(session, built.tenant)
        decided = verdicts(session, built, None, own_documents(built, world), found.at)
        counts: dict[tuple[str, int], int] = {}
        for (user, document), (allowed, _) in decided.items():
            if allowed and _active(session, built, user, document):
                node = session.get_one(Document, document).node_id
                counts[user, node] = counts.get((user, node), 0) + 1
    told: dict[str, int] = {}
    for line in _of(found, "access"):
        told[line.person] = told.get(line.person, 0) + (line.documents or 0)
    wanted: dict[str, int] = {}
    for (user, _), count in counts.items():
        wanted[user] = wanted.get(user, 0) + count
    assert told == wanted


def _active(session: Session, built: Built, user: str, document: int) -> bool:
    subject = resolve_subject(session, Caller(built.tenant, user))
    return decide(session, subject, [document])[document].allowed
