"""What is erased is gone from SQL, index and files, and a scan says so; what it cannot change it names."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from api.actors import at_the_machine
from api.changes import Asked, perform
from core.audit_chain import chain_tenant, verify
from core.db import Database
from core.errors import ConflictError, NotFoundError
from core.tables import AuditEntry, Base, Chunk, Document, Erasure, Facet, Principal, StateHistory, User
from policies import nodes
from policies.decide import decide
from policies.directory import put_app, put_tenant, put_user, set_containers
from policies.history import as_of, moment
from policies.model import access_spec
from policies.rules_store import put_rule
from policies.subject import Caller, resolve_subject
from tests.factories.installation import Installation

SECRET = "The zeppelin budget of the northern office is four hundred and twelve thousand crowns this year."


@pytest.fixture
def place(db: Database, tmp_path: Path) -> Iterator[Installation]:
    """Files that staff read, ana among them; one of them is known by its text."""
    files = tmp_path / "files"
    (files / "hr").mkdir(parents=True)
    (files / "hr" / "zeppelin.txt").write_text(SECRET)
    (files / "hr" / "holidays.txt").write_text("Everyone takes their holidays in the summer months, as they like.")
    (files / "rules.txt").write_text("Rules of the house: keep the kitchen clean and the windows shut.")
    (tmp_path / "data").mkdir()
    if db.is_sqlite:  # where an installation has it, so that its files are looked through
        shutil.copyfile(str(db.url.database), tmp_path / "data" / "ambit.db")
    elsewhere = {} if db.is_sqlite else {"database_url": db.url.render_as_string(hide_password=False)}
    made = Installation(tmp_path / "data", **elsewhere)
    made.add_user("ana", "staff")
    made.add_user("bob", "staff")
    with made.db.write() as session:
        attributes = {"clearance": "confidential", "nickname": "Bunny"}
        put_user(session, made.tenant, "ana", email="ana.lima@example.com", attributes=attributes)
    made.add_folder(files, allow=["group:staff"])
    assert made.sync().state == "succeeded"
    yield made
    made.close()


def ask(place: Installation, operation: str, key: str, **more: Any) -> str:
    done = perform(place.runtime, at_the_machine(place.tenant), Asked(operation, {"key": key, **more}))
    return str(done.told["id"])


def ended(place: Installation, name: str) -> Erasure:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        place.drain()
        with place.db.read() as session:
            row = session.scalars(select(Erasure).where(Erasure.public_id == name)).one()
            session.expunge(row)
        if row.state != "erasing":
            return row
    raise AssertionError(f"{name} did not end: {row.done} {row.proof}")


def document(place: Installation, external: str) -> str:
    with place.db.read() as session:
        return session.scalars(select(Document.public_id).where(Document.external_id == external)).one()


def stored(place: Installation) -> str:
    """Everything that SQL holds, as one text; what is sealed is not readable."""
    with place.db.read() as session:
        tables = Base.metadata.sorted_tables
        return "\n".join(str(tuple(row)) for table in tables for row in session.execute(select(*table.c)))


def holding(folder: Path, word: str) -> list[str]:
    """Files that hold a word, looked at by another process: reading the database's file here would end our locks."""
    told = subprocess.run(["grep", "-rila", word, str(folder)], capture_output=True, text=True, timeout=60, check=False)
    return told.stdout.split()


def whole(place: Installation) -> int:
    """How many entries were redacted, where the audit is whole."""
    with place.db.read() as session:
        told = verify(session, place.runtime.audit, place.tenant)
    assert told.wrong == ()
    return told.redacted


def test_a_document_leaves_nothing_and_does_not_come_back(place: Installation, tmp_path: Path) -> None:
    public = document(place, "hr/zeppelin.txt")
    assert place.search("ana", "zeppelin budget")[0].text == SECRET
    with place.db.read() as session:
        id_ = session.scalars(select(Document.id).where(Document.public_id == public)).one()
    name = ask(place, "document.erase", public)
    assert all("zeppelin" not in one.text for one in place.search("ana", "zeppelin budget")), "gone at once"
    row = ended(place, name)
    assert (row.state, row.names, row.proof["left"]) == ("proven", "", {})
    assert row.done["chunk"] >= 1
    assert {"document", "document_version", "state_history"} <= row.done.keys()
    text = stored(place)
    assert "zeppelin" not in text.lower()
    points = place.runtime.stack.index.scan(place.runtime.stack.generation().collection)
    assert [one for _, one in points if one.document == id_] == []
    assert holding(tmp_path / "data", "zeppelin") == []
    assert place.sync(kind="deletions").state == "succeeded"
    assert "zeppelin" not in stored(place).lower(), "its source lists it still"
    perform(
        place.runtime,
        at_the_machine(place.tenant),
        Asked("erasure.readmit", {"key": "files", "id": "hr/zeppelin.txt"}),
    )
    assert place.sync(kind="deletions").state == "succeeded"
    assert place.search("ana", "zeppelin budget")[0].text == SECRET
    place.check_consistent()
    assert whole(place) == 0


def test_a_document_that_may_return_does_and_copies_are_told(place: Installation, tmp_path: Path) -> None:
    (tmp_path / "files" / "copy.txt").write_text(SECRET)
    assert place.sync().state == "succeeded"
    row = ended(place, ask(place, "document.erase", document(place, "hr/zeppelin.txt"), may_return=True))
    assert row.state == "proven"
    assert row.proof["copies"] == [document(place, "copy.txt")]
    assert place.sync(kind="deletions").state == "succeeded"
    assert document(place, "hr/zeppelin.txt")


def test_a_source_goes_with_everything_in_it(place: Installation, tmp_path: Path) -> None:
    row = ended(place, ask(place, "source.erase", "files", reason="the contract ended"))
    assert (row.state, row.target, row.proof["left"]) == ("proven", "files", {})
    text = stored(place)
    for word in ("zeppelin", "holidays", "kitchen", "hr/"):
        assert word not in text.lower()
    with place.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Facet)) == 0
        assert session.scalar(select(func.count()).select_from(Chunk)) == 0
    assert list(place.runtime.stack.index.scan(place.runtime.stack.generation().collection)) == []
    place.add_folder(tmp_path / "files", allow=["group:staff"])
    assert place.sync().state == "succeeded"
    assert place.search("bob", "zeppelin budget")[0].text == SECRET, "the id is free again"


def traced(place: Installation) -> None:
    """Leaves ana's name in as many places as the product has."""
    machine = at_the_machine(place.tenant)
    spec = access_spec(allow=["user:ana.lima@example.com"], deny=["user:ana"])
    with place.db.write() as session:
        root = session.scalars(select(Base.metadata.tables["acl_node"].c.id).order_by("id")).first()
        nodes.state_admin(session, place.tenant, root, spec)
        put_app(session, place.tenant, "desk", acts_for=["user:ana", "group:staff"])
    body = {"principals": ["user:ana"], "rights": ["group.read"], "objects": ["*"], "effect": "allow"}
    body |= {"app": None, "not_before": None, "expires_at": None}
    perform(place.runtime, machine, Asked("grant.put", {"key": "readers", "body": body}))
    user = {"email": "ana.lima@example.com", "groups": ["staff"], "attributes": {"nickname": "Bunny"}}
    perform(place.runtime, machine, Asked("user.put", {"key": "ana", "body": user}))
    glass = {"user": "ana", "places": ["files:"], "reason": "the auditors ask Ana.Lima@example.com", "for_s": 60}
    perform(place.runtime, machine, Asked("break_glass.open", glass))
    place.search("ana", "kitchen")


def test_a_person_leaves_nothing_and_history_keeps_its_answers(place: Installation) -> None:
    with place.db.read() as session:
        before = moment(session, place.tenant)
    traced(place)
    chain_tenant(place.db, place.runtime.audit, place.tenant)
    assert "ana.lima" in stored(place)
    row = ended(place, ask(place, "user.erase", "ANA.lima@example.com", reason="asked by user:ana"))
    assert (row.state, row.kind, row.names) == ("proven", "person", ""), row.proof
    assert row.reason == f"asked by user:{row.target}"
    text = stored(place).lower()
    for word in ("ana.lima", "user:ana'", 'user:ana"', "'ana'", '"ana"', "bunny"):
        assert word not in text, text[text.index(word) - 200 : text.index(word) + 60]
    assert row.target in text
    assert whole(place) >= 4
    with place.db.read() as session:
        assert session.scalars(select(User.key)).all() == ["bob"]
        assert row.target in set(session.scalars(select(Principal.key)))
        hidden = session.scalars(select(Document.id)).all()
        bob = resolve_subject(session, Caller(place.tenant, "bob"))
        assert all(one.allowed for one in decide(session, bob, hidden).values()), "a deny of nobody closes no place"
        with as_of(session, place.tenant, before, hidden) as then:
            ana = resolve_subject(then, Caller(place.tenant, row.target))
            assert all(one.allowed for one in decide(then, ana, hidden).values()), "who read it then, by no name"
    with pytest.raises(NotFoundError):
        ask(place, "user.erase", "ana")


def test_a_redacted_entry_is_proven_as_it_stands_now(place: Installation) -> None:
    traced(place)
    ended(place, ask(place, "user.erase", "ana"))
    assert whole(place) >= 1
    with place.db.write() as session:
        entry = session.scalars(select(AuditEntry.id).where(AuditEntry.redaction.is_not(None))).first()
        session.execute(update(AuditEntry).where(AuditEntry.id == entry).values(actor="user:bob"))
    with place.db.read() as session:
        assert verify(session, place.runtime.audit, place.tenant).wrong == (f"entry {entry}: was changed",)
    with place.db.write() as session:
        session.execute(update(AuditEntry).where(AuditEntry.id == entry).values(redaction=b"made up by whom?"))
    with place.db.read() as session:
        assert verify(session, place.runtime.audit, place.tenant).wrong == (f"entry {entry}: was changed",)


def test_who_is_gone_already_is_erased_by_an_old_address(place: Installation) -> None:
    perform(place.runtime, at_the_machine(place.tenant), Asked("user.delete", {"key": "ana"}))
    assert ended(place, ask(place, "user.erase", "ana.lima@example.com")).state == "proven"
    text = stored(place).lower()
    assert "ana.lima" not in text
    assert "'ana'" not in text


def test_an_id_that_is_another_person_by_now_is_not_erased(place: Installation) -> None:
    perform(place.runtime, at_the_machine(place.tenant), Asked("user.delete", {"key": "ana"}))
    place.add_user("ana", "staff")
    with pytest.raises(ConflictError, match="another person"):
        ask(place, "user.erase", "ana.lima@example.com")
    with place.db.read() as session:
        assert session.scalars(select(User.key).order_by(User.key)).all() == ["ana", "bob"]


def test_what_an_administrator_wrote_is_named_until_it_is_changed(place: Installation) -> None:
    with place.db.write() as session:
        put_rule(
            session, place.tenant, "not-ana", effect="forbid", condition='principal.id == "user:ana"', enforced=False
        )
    name = ask(place, "user.erase", "ana")
    row = ended(place, name)
    assert (row.state, row.proof["written"], row.proof["left"]) == ("left", {"policy.condition": 1}, {})
    assert row.names, "kept until nothing is left"
    with place.db.write() as session:
        session.execute(update(Base.metadata.tables["policy"]).values(condition="false"))
    ask(place, "erasure.verify", name)
    assert ended(place, name).state == "proven"
    with pytest.raises(ConflictError, match="proven"):
        ask(place, "erasure.verify", name)


def test_what_documents_say_is_told_and_left(place: Installation, tmp_path: Path) -> None:
    (tmp_path / "files" / "contact.txt").write_text("For the keys of the house write to ana.lima@example.com any time.")
    assert place.sync().state == "succeeded"
    row = ended(place, ask(place, "user.erase", "ana"))
    assert row.state == "proven"
    assert row.proof["documents"] == [document(place, "contact.txt")]
    assert row.proof["content"] == {"chunk.text": 1}


def test_the_locks_of_whoever_proves_it_stay(place: Installation, tmp_path: Path) -> None:
    """A process that opens and closes the database's file loses its locks on it; the next one to leave would then take
    itself for the last, and remove the log of changes that the first still writes to.
    """
    if not place.db.is_sqlite:
        pytest.skip("a server keeps its own files")
    ended(place, ask(place, "document.erase", document(place, "hr/zeppelin.txt")))
    path = str(tmp_path / "data" / "ambit.db")
    leave = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM user'); c.close()"
    subprocess.run([sys.executable, "-c", leave, path], check=True, timeout=60)
    place.add_user("cy")
    with sqlite3.connect(path) as other:
        assert ("cy",) in other.execute('SELECT "key" FROM user').fetchall()
    other.close()


def test_it_goes_on_after_what_stopped_it(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    compact = Database.compact

    def failing(self: Database) -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError("VACUUM", None, Exception("disk full"))
        return False if len(calls) == 2 else compact(self)

    monkeypatch.setattr(Database, "compact", failing)
    row = ended(place, ask(place, "document.erase", document(place, "hr/zeppelin.txt")))
    assert (row.state, len(calls)) == ("proven", 3)


def test_another_tenants_namesake_is_nobody_here(place: Installation) -> None:
    with place.db.write() as session:
        other = put_tenant(session, "other").id
        put_user(session, other, "ana", email="ana.lima@example.com")
        set_containers(session, other, "user:ana", ["staff"])
    with place.db.write() as session:
        put_user(session, other, "ana", email="ana.lima@example.com", attributes={"team": "blue"})
    ended(place, ask(place, "user.erase", "ana"))
    with place.db.read() as session:
        assert _named(session, other) == (["ana"], ["ana", "ana.lima@example.com"], 1)
        assert _named(session, place.tenant)[0] == ["bob"]


def _named(session: Session, tenant: int) -> tuple[list[str], list[str], int]:
    users = session.scalars(select(User.key).where(User.tenant_id == tenant)).all()
    kinds = (Principal.tenant_id == tenant, Principal.kind == "user")
    principals = session.scalars(select(Principal.key).where(*kinds).order_by(Principal.key)).all()
    states = session.scalars(select(StateHistory.id).where(StateHistory.tenant_id == tenant)).all()
    return list(users), list(principals), len(states)
