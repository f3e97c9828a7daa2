"""What an admin states for one document stays with it, whatever its source states later and wherever that puts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.tables import Ace, AclNode, Document, Label
from ingest.own_access import state_document
from ingest.stages import STAGES
from policies.model import AccessSpec, Entry
from tests.factories.installation import Installation
from tests.integration.conftest import Installation as Served

DENY_BOB = AccessSpec(entries=frozenset({Entry("user:bob", "deny")}), labels={"classification": "confidential"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    (made / "team").mkdir(parents=True)
    (made / "a.txt").write_text("The heron waits.")
    (made / "b.txt").write_text("The heron sleeps.")
    (made / ".access.yaml").write_text(_files("[everyone]"))
    return made


def _files(allow: str) -> str:
    one = f"{{inherit: false, allow: {allow}}}"
    return f"allow: [everyone]\nfiles:\n  a.txt: {one}\n  b.txt: {one}\n"


@pytest.fixture
def place(tmp_path: Path, folder: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "data")
    for user in ("ana", "bob"):
        made.add_user(user)
    made.add_folder(folder)
    made.sync()
    yield made
    made.close()


def _state(place: Installation, key: str, spec: AccessSpec) -> None:
    with place.db.write() as session:
        document = session.scalars(select(Document).where(Document.external_id == key)).one()
        state_document(session, document, spec, actor="app:admin")


def _found(place: Installation, user: str) -> set[str]:
    return {one.uri.rpartition("/")[2] for one in place.search(user, "heron")}


def _node(place: Installation, key: str) -> AclNode:
    with place.db.read() as session:
        document = session.scalars(select(Document).where(Document.external_id == key)).one()
        node = session.get_one(AclNode, document.node_id)
        session.expunge(node)
        return node


def test_it_is_that_documents_alone_and_holds_at_once(place: Installation) -> None:
    shared = _node(place, "a.txt").id
    assert _node(place, "b.txt").id == shared
    _state(place, "a.txt", DENY_BOB)
    assert _found(place, "bob") == {"b.txt"}
    assert _found(place, "ana") == {"a.txt", "b.txt"}
    assert _node(place, "b.txt").id == shared
    place.drain()
    place.check_consistent()


@pytest.mark.parametrize(
    ("stated", "edited"),
    [
        (_files("['user:ana', 'user:bob']"), False),
        ("allow: [everyone]\n", True),
        ("allow: [everyone]\nfiles:\n  a.txt: {labels: {classification: public}}\n", True),
    ],
)
def test_it_stays_when_the_source_states_something_else(
    place: Installation, folder: Path, stated: str, edited: bool
) -> None:
    _state(place, "a.txt", DENY_BOB)
    (folder / ".access.yaml").write_text(stated)
    if edited:
        (folder / "a.txt").write_text("The heron flies.")
    run = place.start()
    STAGES["list"](place.runtime.pipeline)
    assert _found(place, "bob") <= {"b.txt"}
    place.drain()
    assert place.run(run).state == "succeeded"
    assert _found(place, "bob") == {"b.txt"}
    assert _found(place, "ana") == {"a.txt", "b.txt"}
    assert {one.classification for one in place.search("ana", "heron") if one.uri.endswith("a.txt")} == {"confidential"}
    place.check_consistent()
    (folder / ".access.yaml").write_text(_files("[everyone]"))
    place.sync()
    assert _found(place, "bob") == {"b.txt"}


def test_an_allow_is_found_once_its_points_follow(place: Installation, folder: Path) -> None:
    (folder / ".access.yaml").write_text(_files("['user:ana']"))
    place.sync()
    assert _found(place, "bob") == set()
    _state(place, "a.txt", AccessSpec(entries=frozenset({Entry("user:bob")})))
    place.drain()
    assert _found(place, "bob") == {"a.txt"}
    (folder / ".access.yaml").write_text(_files("[]"))
    place.sync()
    assert (_found(place, "ana"), _found(place, "bob")) == (set(), {"a.txt"})
    _state(place, "a.txt", AccessSpec())
    assert _found(place, "bob") == set()


@pytest.mark.parametrize("stage", ["list", "parse", "encode"])
def test_work_under_way_does_not_undo_it(place: Installation, folder: Path, stage: str) -> None:
    (folder / "a.txt").write_text("The heron flies away.")
    place.start()
    for name in ("list", "parse", "encode"):
        STAGES[name](place.runtime.pipeline)
        if name == stage:
            break
    _state(place, "a.txt", DENY_BOB)
    place.drain()
    assert _found(place, "bob") == {"b.txt"}
    assert "The heron flies away." in place.documents()["a.txt"]
    place.check_consistent()


def test_a_document_that_failed_comes_back_to_its_own_place(place: Installation, folder: Path) -> None:
    _state(place, "a.txt", DENY_BOB)
    place.drain()
    with place.db.write() as session:
        from ingest.deletion import hide_behind_closed

        document = session.scalars(select(Document).where(Document.external_id == "a.txt")).one()
        hide_behind_closed(session, place.tenant, document.source_id, [document.id])
    assert _found(place, "ana") == {"b.txt"}
    _state(place, "a.txt", DENY_BOB)
    assert _found(place, "ana") == {"b.txt"}, "what an admin states does not show what failed"
    place.sync()
    assert (_found(place, "ana"), _found(place, "bob")) == ({"a.txt", "b.txt"}, {"b.txt"})


def test_nothing_is_repeated_by_a_sync_that_changes_nothing(place: Installation) -> None:
    _state(place, "a.txt", DENY_BOB)
    place.drain()
    with place.db.read() as session:
        before = [len(session.scalars(select(table.id)).all()) for table in (AclNode, Ace, Label)]
    place.sync()
    with place.db.read() as session:
        assert [len(session.scalars(select(table.id)).all()) for table in (AclNode, Ace, Label)] == before


def _put(ambit: Served, **body: Any) -> Any:
    return ambit.admin("PUT", "/v1/access/entries", json=body)


def test_over_http_for_a_pushed_document(ambit: Served) -> None:
    job = ambit.push("a", "The heron waits.", title="A")
    ambit.push("b", "The heron sleeps.", title="B")
    answer = _put(ambit, document=job["document_id"], entries=[{"principal": "user:bob", "effect": "deny"}])
    assert answer.status_code == 200, answer.text
    assert answer.json()["entries"] == [
        {"principal": "user:bob", "effect": "deny", "not_before": None, "expires_at": None, "app": None}
    ]
    assert ambit.found("bob", "heron") == ["B"]
    for access in ({"allow": ["user:bob", "user:ana"], "inherit": False}, None):
        ambit.push("a", "The heron waits still.", title="A", access=access)
        assert ambit.found("bob", "heron") == ["B"]
        assert sorted(ambit.found("ana", "heron")) == ["A", "B"]


def test_over_http_at_a_place(ambit: Served) -> None:
    ambit.push("a", "The heron waits.", title="A")
    assert _put(ambit, place="notes:", entries=[{"principal": "user:bob", "effect": "deny"}]).status_code == 200
    assert ambit.found("bob", "heron") == []
    assert _put(ambit, place="notes:", labels={"classification": "public"}).json()["entries"] == []
    assert ambit.found("bob", "heron") == ["A"]


def test_what_does_not_fit_changes_nothing(ambit: Served) -> None:
    job = ambit.push("a", "The heron waits.", title="A", access={"allow": ["user:eve"]})
    allow = [{"principal": "user:bob"}]
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"entries": allow}, 422),
        ({"document": job["document_id"], "place": "notes:", "entries": allow}, 422),
        ({"document": "doc_none", "entries": allow}, 404),
        ({"place": "notes:none", "entries": allow}, 404),
        ({"place": "=closed", "entries": allow}, 404),
        ({"place": "notes:", "entries": [{"principal": "bob"}]}, 422),
        ({"place": "notes:", "entries": [{"principal": "user:bob", "effect": "maybe"}]}, 422),
        ({"place": "notes:", "inherit": False}, 422),
    ]
    for body, status in wrong:
        assert _put(ambit, **body).status_code == status, body
    chat = ambit.call("PUT", "/v1/access/entries", ambit.keys["chat"], json={"place": "notes:", "entries": allow})
    assert chat.status_code == 403
    with ambit.runtime.db.read() as session:
        assert session.scalars(select(Ace.id).where(Ace.origin == "admin")).all() == []
