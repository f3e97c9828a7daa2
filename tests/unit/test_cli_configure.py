from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from core.audit import SEALED, Audit
from core.db import Database
from core.secrets import Keyring
from core.tables import AuditEntry
from tests.factories.command_line import ambit

COMPANY = """
kind: Group
id: staff
---
kind: User
id: ana
email: ana@example.com
groups: [staff]
---
kind: User
id: ben
---
kind: Source
id: files
connector: folder
config: {path: ./files}
---
kind: App
id: chat
acts_for: [group:staff]
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An installation with nothing in it, and a file to apply beside it."""
    (tmp_path / "c.yaml").write_text(COMPANY)
    assert ambit(tmp_path / "data", "init").status == 0
    return tmp_path / "data"


def _audit(data: Path) -> list[tuple[str, str, dict[str, object]]]:
    """Every entry; each must carry its MAC."""
    database = Database(f"sqlite:///{data / 'ambit.db'}")
    audit = Audit(Keyring(data / "keys"))
    try:
        with database.read() as session:
            rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
            told = [{name: getattr(row, name) for name in SEALED} for row in rows]
            assert [row.mac for row in rows] == [audit.mac(one) for one in told]
            return [(row.kind, row.actor, row.body) for row in rows]
    finally:
        database.close()


def test_plan_shows_and_apply_does(data: Path) -> None:
    file = str(data.parent / "c.yaml")
    planned = ambit(data, "plan", file, "--json").json
    assert (planned["applied"], planned["counts"]["create"]) == (False, 5)
    assert ambit(data, "sources", "list", "--json").json == {"sources": []}
    applied = ambit(data, "apply", file, "--json").json
    assert planned.pop("access")["gains"]["people"] == 0
    assert planned.pop("held") is False
    assert applied == {**planned, "applied": True}
    again = ambit(data, "apply", file, "--json").json
    assert again["counts"] == {"create": 0, "change": 0, "delete": 0, "unchanged": 5}
    assert [one["id"] for one in ambit(data, "sources", "list", "--json").json["sources"]] == ["files"]
    assert [kind for kind, _, _ in _audit(data)] == ["config.apply"]


def test_people_read_what_changes(data: Path) -> None:
    file = data.parent / "c.yaml"
    ambit(data, "apply", str(file))
    file.write_text(COMPANY.replace("ana@example.com", "ana@example.org"))
    ran = ambit(data, "plan", str(file))
    assert "~ User ana" in ran.out
    assert '    email: "ana@example.com" → "ana@example.org"' in ran.out
    assert "0 to create, 1 to change, 0 to delete; 4 unchanged" in ran.out


def test_a_mistake_in_the_file_ends_with_its_place(data: Path) -> None:
    (data.parent / "c.yaml").write_text(COMPANY.replace("groups: [staff]", "gropus: [staff]"))
    ran = ambit(data, "apply", str(data.parent / "c.yaml"))
    assert ran.status == 2
    assert "c.yaml:5: User 'ana': 'gropus': unknown key" in ran.err
    assert ambit(data, "apply", str(data.parent / "no.yaml")).status == 2


def test_pruning_asks_first(data: Path) -> None:
    file = data.parent / "c.yaml"
    ambit(data, "apply", str(file))
    file.write_text("kind: Group\nid: staff\n")
    refused = ambit(data, "apply", str(file), "--prune")
    assert refused.status == 2
    assert "User/ana" in refused.err
    assert "--yes" in refused.err
    assert ambit(data, "plan", str(file), "--prune", "--json").json["counts"]["delete"] == 4
    assert ambit(data, "apply", str(file), "--prune", "--yes", "--json").json["counts"]["delete"] == 4
    assert ambit(data, "sources", "list", "--json").json == {"sources": []}


def test_files_without_a_kind_are_said_to_be_left_out(data: Path) -> None:
    folder = data.parent / "folder"
    folder.mkdir()
    (folder / "c.yaml").write_text(COMPANY)
    (folder / "other.yaml").write_text("people: [ana]\n")
    ran = ambit(data, "apply", str(folder))
    assert ran.status == 0
    assert f"left out: {folder / 'other.yaml'}" in ran.err


def test_groups_change_by_hand_and_in_the_audit(data: Path) -> None:
    ambit(data, "apply", str(data.parent / "c.yaml"))
    assert ambit(data, "groups", "add", "staff", "ben", "--json").json == {
        "group": "staff", "member": "user:ben", "changed": True,
    }  # fmt: skip
    assert ambit(data, "groups", "add", "staff", "user:ben", "--json").json["changed"] is False
    assert ambit(data, "groups", "list", "--json").json["groups"] == [
        {"id": "staff", "members": ["user:ana", "user:ben"]}
    ]
    assert "is now out of staff" in ambit(data, "groups", "remove", "staff", "ana").out
    assert ambit(data, "groups", "remove", "staff", "ana", "--json").json["changed"] is False
    told = [body for kind, actor, body in _audit(data) if kind == "access.membership" and actor == "local"]
    assert all(one.pop("login") for one in told)
    assert told == [
        {"group": "staff", "member": "user:ben", "joined": True, "before": False, "after": True},
        {"group": "staff", "member": "user:ana", "joined": False, "before": True, "after": False},
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["staf", "ana"], "there is no group 'staf'"),
        (["staff", "anna"], "there is no user:anna"),
        (["staff", "group:hr"], "there is no group:hr"),
        (["staff", "app:chat"], "cannot be in a group"),
        (["staff", "bob:x"], "is no principal"),
    ],
)
def test_nobody_unknown_joins_a_group(data: Path, arguments: list[str], told: str) -> None:
    ambit(data, "apply", str(data.parent / "c.yaml"))
    ran = ambit(data, "groups", "add", *arguments)
    assert ran.status == 2
    assert told in ran.err
    assert ambit(data, "groups", "list", "--json").json["groups"] == [{"id": "staff", "members": ["user:ana"]}]


def test_keys_are_shown_once_listed_and_revoked(data: Path) -> None:
    ambit(data, "apply", str(data.parent / "c.yaml"))
    made = ambit(
        data, "keys", "create", "chat", "--right", "query", "--right", "ingest", "--expires-in", "90d", "--json"
    ).json
    assert made["key"].startswith(f"ambit_{made['prefix']}_")
    assert made["expires_at"] is not None
    listed = ambit(data, "keys", "list", "--json")
    assert made["key"] not in listed.out
    assert listed.json["keys"][0]["rights"] == ["ingest", "query"]
    ambit(data, "keys", "revoke", made["prefix"])
    assert ambit(data, "keys", "list", "--json").json["keys"][0]["revoked_at"] is not None
    assert [kind for kind, _, _ in _audit(data)][1:] == ["admin.key.create", "admin.key.revoke"]
    assert made["key"] not in json.dumps(_audit(data))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "chatt"], "there is no app 'chatt'"),
        (["create", "chat", "--right", "root"], "rights must be some of"),
        (["create", "chat", "--expires-in", "soon"], "--expires-in 'soon'"),
        (["revoke", "0000"], "there is no key '0000'"),
    ],
)
def test_a_wrong_key_command_says_what_is_wrong(data: Path, arguments: list[str], told: str) -> None:
    ambit(data, "apply", str(data.parent / "c.yaml"))
    ran = ambit(data, "keys", *arguments)
    assert ran.status == 2
    assert told in ran.err
