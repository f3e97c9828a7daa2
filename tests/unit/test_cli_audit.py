"""`ambit audit`: entries listed and exported, and the whole of it proven."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from core.db import Database
from core.tables import AuditEntry
from tests.factories.command_line import ambit

COMPANY = "kind: Group\nid: staff\n---\nkind: User\nid: ana\ngroups: [staff]\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "c.yaml").write_text(COMPANY)
    assert ambit(tmp_path / "data", "init").status == 0
    assert ambit(tmp_path / "data", "apply", str(tmp_path / "c.yaml")).status == 0
    assert ambit(tmp_path / "data", "groups", "remove", "staff", "ana").status == 0
    return tmp_path / "data"


def test_entries_are_listed_by_what_they_name(data: Path) -> None:
    (entry,) = ambit(data, "audit", "list", "--action", "access.*", "--json").json["entries"]
    assert (entry["actor"], entry["body"]["before"], entry["body"]["after"]) == ("local", True, False)
    named = ambit(data, "audit", "list", "--subject", "user:ana", "--json").json["entries"]
    assert entry["id"] in {one["id"] for one in named}
    assert "access.membership" in ambit(data, "audit", "list").out
    assert ambit(data, "audit", "list", "--until", "2020-01-01").out == "no entry fits\n"
    assert ambit(data, "audit", "list", "--since", "noon").status == 2


def test_entries_are_exported_oldest_first(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit.jsonl"
    assert ambit(data, "audit", "export", "--to", str(out)).status == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["id"] for one in lines] == sorted(one["id"] for one in lines)
    assert lines == [json.loads(line) for line in ambit(data, "audit", "export").out.splitlines()]
    assert ambit(data, "audit", "export", "--to", str(out)).status == 2, "no file is overwritten"


def test_the_whole_is_proven_and_a_gap_is_found(data: Path) -> None:
    found = ambit(data, "audit", "verify", "--json").json
    assert (found["whole"], found["wrong"]) == (True, [])
    assert ambit(data, "audit", "verify", "--head", found["head"]).status == 0
    database = Database(f"sqlite:///{data / 'ambit.db'}")
    with database.write() as session:
        first = session.scalars(select(AuditEntry.id).order_by(AuditEntry.id)).first()
        session.execute(delete(AuditEntry).where(AuditEntry.id == first))
    database.close()
    ran = ambit(data, "audit", "verify")
    assert ran.status == 1
    assert "NOT whole" in ran.out
