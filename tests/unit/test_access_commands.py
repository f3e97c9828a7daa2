"""`ambit access who-can-read|history|simulate|review`, and what `ambit plan` tells of access."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from core.db import now
from core.tables import AuditEntry, Document
from policies.directory import put_app, put_group
from policies.epoch import current
from policies.rules_store import put_rule
from tests.factories.cases import GUIDE
from tests.factories.command_line import ambit
from tests.factories.installation import Installation

LEAVES = "kind: User\nid: ana\ngroups: []\n"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    """`hr/pay.txt` and `hello.txt`, read by staff: ana and bob; cy reads nothing."""
    files = tmp_path / "files"
    (files / "hr").mkdir(parents=True)
    (files / "hello.txt").write_text("Hello to everyone who works here.")
    (files / "hr" / "pay.txt").write_text("The pay of everyone who works here.")
    made = Installation(tmp_path / "data")
    made.add_user("ana", "staff")
    made.add_user("bob", "staff")
    made.add_user("cy")
    made.add_folder(files, allow=["group:staff"])
    assert made.sync().state == "succeeded"
    yield made
    made.close()


def _data(place: Installation) -> Path:
    return place.settings.data_dir


def _kinds(place: Installation) -> list[str]:
    with place.db.read() as session:
        return list(session.scalars(select(AuditEntry.kind).order_by(AuditEntry.id)))


def test_who_can_read(place: Installation) -> None:
    told = ambit(_data(place), "--json", "access", "who-can-read", "files:hello.txt").json
    assert [(one["user"], one["by"], one["path"]) for one in told["readers"]] == [
        ("ana", "group:staff", ["user:ana", "group:staff"]),
        ("bob", "group:staff", ["user:bob", "group:staff"]),
    ]
    assert told["refused"] == {"no_entry": 1}
    shown = ambit(_data(place), "access", "who-can-read", "files:hello.txt")
    assert "2 of 3 people" in shown.out
    assert _kinds(place)[-2:] == ["access.who_can_read"] * 2
    assert ambit(_data(place), "access", "who-can-read", "files:nope.txt").status == 2


def test_a_person_is_explained_through_an_app(place: Installation) -> None:
    with place.db.write() as session:
        put_app(session, place.tenant, "chat", sources=["crm"])
    asked = ("ana", "files:hello.txt", "--app", "chat")
    assert ambit(_data(place), "access", "check", *asked).status == 1
    told = ambit(_data(place), "--json", "access", "explain", *asked).json
    assert (told["allowed"], told["reason"], told["gate"]["app"]) == (False, "app_source", "chat")
    assert ambit(_data(place), "access", "check", *asked[:2]).status == 0


def test_history(place: Installation) -> None:
    with place.db.read() as session:
        epoch = current(session, place.tenant)
        made = session.scalars(select(Document.created_at)).all()
    (_data(place).parent / "leave.yaml").write_text(LEAVES)
    assert ambit(_data(place), "apply", str(_data(place).parent / "leave.yaml")).status == 0
    now = ambit(_data(place), "--json", "access", "history", "files:hello.txt").json
    assert [one["user"] for one in now["readers"]] == ["bob"]
    then = ("--epoch", str(epoch), "--at", max(made).isoformat())
    past = ambit(_data(place), "--json", "access", "history", "files:hello.txt", *then).json
    assert [one["user"] for one in past["readers"]] == ["ana", "bob"]
    told = ambit(_data(place), "--json", "access", "history", "files:hello.txt", *then, "--user", "ana").json
    assert (told["allowed"], told["path"]) == (True, ["user:ana", "group:staff"])
    assert "may not read" in ambit(_data(place), "access", "history", "files:hello.txt", "--user", "ana").out
    wrong = ambit(_data(place), "access", "history", "files:hello.txt", "--at", "yesterday")
    assert (wrong.status, "is no time" in wrong.err) == (2, True)
    early = ambit(_data(place), "access", "history", "files:hello.txt", "--at", "2001-01-01")
    assert (early.status, "nothing is recorded" in early.err) == (2, True)


def test_simulate_rows_and_documents(place: Installation) -> None:
    path = _data(place).parent / "leave.yaml"
    path.write_text(LEAVES)
    told = ambit(_data(place), "--json", "access", "simulate", str(path)).json
    assert (told["losses"]["people"], told["losses"]["documents"]) == (1, 2)
    assert (told["losses"]["samples"][0]["user"], told["losses"]["samples"][0]["documents"]) == ("ana", 2)
    assert set(told["losses"]["samples"][0]["samples"]) <= {"files:hello.txt", "files:hr/pay.txt"}
    told = ambit(
        _data(place), "--json", "access", "simulate", "--deny", "files:=user:bob", "--join", "staff=user:cy"
    ).json
    assert (told["losses"]["people"], told["gains"]["people"]) == (1, 1)
    shown = ambit(_data(place), "access", "simulate", "--allow", "files:=everyone")
    assert "1 person would gain 2 documents" in shown.out
    same = ambit(_data(place), "access", "simulate", "--leave", "staff=user:cy")
    assert "nobody would gain or lose" in same.out
    assert ambit(_data(place), "access", "simulate").status == 2
    assert ambit(_data(place), "access", "simulate", "--allow", "files:nowhere=everyone").status == 2
    assert place.search("ana", "pay")
    assert place.search("bob", "hello")
    assert not place.search("cy", "hello")


def test_a_plan_shows_who_gains_and_loses(place: Installation) -> None:
    path = _data(place).parent / "leave.yaml"
    path.write_text(LEAVES)
    with place.db.read() as session:
        before = current(session, place.tenant)
    told = ambit(_data(place), "--json", "plan", str(path)).json
    assert told["access"]["losses"]["people"] == 1
    assert "1 person would lose 2 documents" in ambit(_data(place), "plan", str(path)).out
    with place.db.read() as session:
        assert current(session, place.tenant) == before
    path.write_text("kind: Model\nid: other\nclass: extractive\n")
    assert ambit(_data(place), "--json", "plan", str(path)).json["access"] is None


def test_the_guides_commands(place: Installation) -> None:
    """Each as docs/access.md writes it; a capital word and the time stand for what a reader puts there."""
    path = _data(place).parent / "leave.yaml"
    path.write_text(LEAVES)
    with place.db.write() as session:
        put_group(session, place.tenant, "temps")
        at = now(session).isoformat()
    stands = {"DOCUMENT": "files:hello.txt", "PATH": str(path), "2026-03-01T12:00:00Z": at}
    told = " ".join(GUIDE.read_text().split())
    written = [one.split() for one in re.findall(r"`ambit ([^`]+)`", told)]
    rows = [["access", "simulate", *one.split()] for one in re.findall(r"`(--(?:allow|deny|join|leave) [^`]+)`", told)]
    why = [["access", "history", "DOCUMENT", *one.split()] for one in re.findall(r"`(--user [^`]+)`", told)]
    assert (len(written), len(rows), len(why)) == (7, 4, 1)
    written.remove(["doctor"])  # what the guide says of it: test_tenants.py
    for command in (*written, *rows, *why):
        ran = ambit(_data(place), *(stands.get(word, word) for word in command))
        assert ran.status == 0, (command, ran.out, ran.err)


def test_review(place: Installation) -> None:
    place.search("ana", "pay")
    shown = ambit(_data(place), "access", "review", "--group", "staff")
    assert "access: 4" in shown.out
    rows = ambit(_data(place), "access", "review", "--group", "staff", "--format", "csv").out.splitlines()
    assert rows[0].startswith("kind,person,source,place")
    assert sum(row.startswith("access,") for row in rows) == 4
    page = ambit(_data(place), "access", "review", "--format", "html").out
    assert page.startswith("<!doctype html>")
    told = ambit(_data(place), "--json", "access", "review", "--group", "staff").json
    used = {one["person"] for one in told["lines"] if one["kind"] == "access" and one["last_used"]}
    assert used == {"ana"}
    assert ambit(_data(place), "access", "review", "--group", "nope").status == 2


def test_a_review_names_the_rule_that_lets_somebody_in(place: Installation) -> None:
    with place.db.write() as session:
        put_rule(session, place.tenant, "cys", effect="permit", condition="principal.id == 'cy'")
    shown = ambit(_data(place), "access", "review").out
    assert "cy  files:(root)  rule cys" in shown
    assert "ana  files:(root)  user:ana > group:staff" in shown
