"""An erasure takes what it is meant to take and nothing beside: other people, groups, sources and tenants stay."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from api.actors import at_the_machine
from api.changes import Asked, perform
from api.declare.sources import put_source
from api.schemas.sources import SourceBody
from api.sources import create
from core.clock import db_now
from core.db import Database
from core.errors import ConflictError, UnavailableError
from core.tables import (
    Approval,
    AuditEntry,
    Erasure,
    ExternalIdentity,
    IdempotencyKey,
    Membership,
    Source,
    StateHistory,
    User,
)
from ingest.erasure import stage
from policies.directory import put_app, put_tenant, put_user, set_members
from tests.factories.installation import Installation
from tests.integration.test_erasure import ask, ended, place, stored, whole

__all__ = ["place"]
TEXT = "The house has forty windows, and each of them is cleaned in the second week of the month."


def change(place: Installation, operation: str, **args: Any) -> None:
    perform(place.runtime, at_the_machine(place.tenant), Asked(operation, args))


def _user(place: Installation, key: str) -> tuple[str | None, dict[str, Any]]:
    with place.db.read() as session:
        row = session.scalars(select(User).where(User.tenant_id == place.tenant, User.key == key)).one()
        return row.email, dict(row.attributes)


def test_people_whose_names_hold_the_name_stay(place: Installation) -> None:
    change(place, "user.put", key="neil", body={"email": "neil@corp.example"})
    change(place, "user.put", key="neil--o", body={"email": "o'neil@corp.example"})
    with place.db.write() as session:
        put_app(session, place.tenant, "desk", acts_for=["user:neil--o"])
    before = stored(place)
    row = ended(place, ask(place, "user.erase", "neil"))
    assert (row.state, row.proof["written"]) == ("proven", {}), row.proof
    left = stored(place)
    assert _user(place, "neil--o") == ("o'neil@corp.example", {})
    assert left.count("o'neil@corp.example") >= before.count("o'neil@corp.example") > 0
    assert "user:neil--o" in left
    assert whole(place) >= 1


def test_a_group_or_attribute_of_the_same_name_stays(place: Installation) -> None:
    change(place, "user.put", key="hr", body={"email": "hr@corp.example"})
    change(place, "user.put", key="bob", body={"attributes": {"team": "hr", "assistant": "hr@corp.example"}})
    change(place, "group.put", key="hr", body={"members": ["user:bob", "user:hr"]})
    change(place, "group.put", key="hr", body={"members": ["user:bob"]})
    row = ended(place, ask(place, "user.erase", "hr"))
    assert row.state == "proven", row.proof
    assert _user(place, "bob")[1]["team"] == "hr", "a right may hang on it"
    assert "hr@corp.example" not in stored(place)
    assert row.proof["content"]["user.attributes"] == 1, "told"
    with place.db.read() as session:
        bodies = session.scalars(select(AuditEntry.body).where(AuditEntry.kind == "admin.group.put")).all()
    assert [one["after"]["id"] for one in bodies] == ["hr", "hr"]
    assert row.target in json.dumps(bodies), "who was in it"


def test_a_colleague_keeps_a_name_that_the_provisioner_told_of_both(place: Installation) -> None:
    address = {"formatted": "1 Long Street, Porto"}
    manager = {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"displayName": "Bob Costa"}}}
    bodies: dict[str, Any] = {
        "ana": {"userName": "ana", "displayName": "Ana Lima", "addresses": [address], **manager},
        "bob": {"userName": "bob", "displayName": "Bob Costa", "nickName": "Robert B", "addresses": [address]},
        "eve": {"userName": "eve", "displayName": "Ana Lima Sousa"},
    }
    place.add_user("eve")
    with place.db.write() as session:
        for key, body in bodies.items():
            user = session.scalars(select(User).where(User.key == key, User.tenant_id == place.tenant)).one()
            told = {"authority": "scim:idp", "kind": "user", "external_id": f"usr-00000-{key}", "name": key}
            session.add(ExternalIdentity(tenant_id=place.tenant, subject_id=user.id, body=body, **told))
    row = ended(place, ask(place, "user.erase", "ana"))
    assert row.state == "proven", row.proof
    with place.db.read() as session:
        kept = {one.name: one.body for one in session.scalars(select(ExternalIdentity))}
    assert kept == {key: bodies[key] for key in ("bob", "eve")}


def test_what_a_directory_calls_somebody_is_struck_within_texts(place: Installation) -> None:
    name = "uid=alima,ou=people,dc=example"
    with place.db.write() as session:
        ana = session.scalars(select(User.id).where(User.key == "ana", User.tenant_id == place.tenant)).one()
        told = {"authority": "ldap:corp", "kind": "user", "external_id": "0f3a77c1-22", "name": name}
        session.add(ExternalIdentity(tenant_id=place.tenant, subject_id=ana, body={}, **told))
        why = f"cannot read UID=alima,ou=people,dc=example: busy; group {name}x stays"
        place.runtime.audit.append(session, place.tenant, "query", "local", {"why": why})
    assert ended(place, ask(place, "user.erase", "ana")).state == "proven"
    left = stored(place).lower()
    assert left.count(name) == left.count(f"{name}x") == 1


def test_who_had_the_id_before_is_struck_too(place: Installation) -> None:
    change(place, "user.delete", key="ana")
    place.add_user("ana", "staff")
    ended(place, ask(place, "user.erase", "ana"))
    with place.db.read() as session:
        states = session.scalars(select(StateHistory.state).where(StateHistory.kind == "user")).all()
    assert all(one.get("key") != "ana" for one in states)


def test_a_change_that_waits_is_known_by_whom_it_names(place: Installation) -> None:
    asked = {
        "apr_group": ("group.put", {"key": "ana", "body": {"members": ["user:bob"]}}),
        "apr_user": ("user.put", {"key": "ana", "body": {}}),
        "apr_member": ("group.join", {"group": "staff", "member": "user:ana"}),
    }
    with place.db.write() as session:
        for name, (operation, args) in asked.items():
            told = json.dumps([operation, args])
            row = Approval(
                tenant_id=place.tenant, public_id=name, operation=operation, request=place.runtime.keyring.seal(told),
                request_hash="", needs=[], summary="admin.user.put user=ana", effect={}, digest="", proposer="local:x",
                hand="local:x", expires_at=db_now(),
            )  # fmt: skip
            session.add(row)
    ended(place, ask(place, "user.erase", "ana"))
    with place.db.read() as session:
        rows = session.scalars(select(Approval)).all()
        states = {one.public_id: one.state for one in rows}
        assert all("ana" not in one.summary for one in rows)
    assert states == {"apr_group": "pending", "apr_user": "stale", "apr_member": "stale"}


@pytest.mark.parametrize("key", ["scim", "desk", "local"])
def test_a_source_that_is_called_like_another_word_takes_only_itself(
    place: Installation, tmp_path: Path, key: str
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "house.txt").write_text(TEXT)
    place.add_folder(folder, key=key, allow=["group:staff"])
    assert place.sync(key).state == "succeeded"
    with place.db.write() as session:
        set_members(session, place.tenant, "staff", ["user:ana"], origin="scim:idp")
        place.runtime.audit.append(session, place.tenant, "query", "token:desk:ana", {})
        place.runtime.audit.append(session, place.tenant, "query", "local:root", {})
    row = ended(place, ask(place, "source.erase", key))
    assert row.state == "proven", row.proof
    with place.db.read() as session:
        assert "scim:idp" in set(session.scalars(select(Membership.origin)))
        assert {"token:desk:ana", "local:root"} <= set(session.scalars(select(AuditEntry.actor)))


def test_a_source_is_not_taken_up_again_while_it_goes(place: Installation, tmp_path: Path) -> None:
    name = ask(place, "source.erase", "files")
    config = {"path": str(tmp_path / "files")}
    body: dict[str, Any] = {
        "connector": "folder",
        "config": config,
        "access": {"allow": ["group:staff"]},
        "schedule": {},
    }
    body |= {"max_access_age": None, "base": ".", "priority": 0}
    with pytest.raises(ConflictError, match=name), place.db.write() as session:
        create(session, place.tenant, SourceBody(id="files", connector="folder", config=config))
    with pytest.raises(ConflictError, match=name), place.db.write() as session:
        put_source(session, place.tenant, "files", body)
    assert ended(place, name).state == "proven"
    with place.db.write() as session:
        put_source(session, place.tenant, "files", body)
    place.drain()
    with place.db.read() as session:
        assert session.scalars(select(Source.key)).all() == ["files"]


def test_writes_that_named_it_are_told_apart_still(place: Installation) -> None:
    with place.db.write() as session:
        for key in ("files:hr/zeppelin.txt", "files:rules.txt"):
            told = {"app_id": 1, "request_hash": "", "status": 200, "response": {}}
            session.add(IdempotencyKey(tenant_id=place.tenant, key=key, **told))
    assert ended(place, ask(place, "source.erase", "files")).state == "proven"
    with place.db.read() as session:
        assert len(set(session.scalars(select(IdempotencyKey.key)))) == 2


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Installation]:
    """An installation whose SQL is the file in its own data folder."""
    made = Installation(tmp_path / "own")
    made.add_user("ana", "staff")
    with made.db.write() as session:
        put_user(session, made.tenant, "ana", email="ana.lima@example.com")
    yield made
    made.close()


def test_the_file_of_several_tenants_may_name_anothers_namesake(alone: Installation) -> None:
    with alone.db.write() as session:
        put_user(session, put_tenant(session, "other").id, "ana", email="ana.lima@example.com")
    row = ended(alone, ask(alone, "user.erase", "ana"))
    assert row.state == "proven", row.proof


def test_a_database_that_is_in_use_is_waited_for(
    alone: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.db._COMPACT_S", 0)
    name = ask(alone, "user.erase", "ana")
    other = sqlite3.connect(tmp_path / "own" / "ambit.db", isolation_level=None)
    compact, refused = Database.compact, []

    def busy(self: Database) -> bool:
        monkeypatch.setattr(Database, "compact", compact)
        other.execute("BEGIN IMMEDIATE")
        try:
            return compact(self)
        except UnavailableError as error:
            refused.append(error.code)
            raise
        finally:
            other.close()

    monkeypatch.setattr(Database, "compact", busy)
    row = ended(alone, name)
    assert (row.state, refused, row.attempts) == ("proven", ["unavailable"], 1)
    with alone.db.read() as session:
        assert session.execute(text("PRAGMA busy_timeout")).scalar_one() > 1000


def test_one_whose_lease_went_to_another_worker_ends_there(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ask(place, "user.erase", "ana")
    compact = Database.compact

    def overtaken(self: Database) -> bool:
        monkeypatch.setattr(Database, "compact", compact)
        with self.write() as session:
            session.execute(update(Erasure).values(lease_token=Erasure.lease_token + 1, lease_until=None))
        return True

    monkeypatch.setattr(Database, "compact", overtaken)
    assert stage.erase(place.runtime.pipeline), "it is no error of this worker's"
    assert ended(place, name).state == "proven"
