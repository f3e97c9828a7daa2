"""Groups that hold one another are told, whoever says so, and before it is applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.db import Database
from core.errors import NotFoundError
from policies import directory
from policies.cycles import cycles
from policies.proposals import Proposal
from policies.review import review
from tests.factories.command_line import ambit

RING = {"a": ["b"], "b": ["c"], "c": ["a"], "own": ["own"], "x": ["y"], "y": ["x"], "up": ["a"], "in": [], "z": ["in"]}


def _made(db: Database, above: dict[str, list[str]]) -> int:
    with db.write() as session:
        tenant = directory.put_tenant(session, "default").id
        for key, groups in above.items():
            directory.put_group(session, tenant, key)
            directory.set_containers(session, tenant, f"group:{key}", groups)
        return tenant


def test_each_ring_is_told_once_and_what_only_leads_to_one_is_not(db: Database) -> None:
    tenant = _made(db, RING)
    with db.read() as session:
        assert cycles(session, tenant) == [("a", "b", "c"), ("own",), ("x", "y")]
        assert cycles(session, tenant, {"c": [], "own": ["a"], "in": ["z"]}) == [("in", "z"), ("x", "y")]
        told = [one.by for one in review(session, tenant).lines if one.kind == "cycle"]
    assert told == ["a, b, c", "own", "x, y"]


def test_what_a_directory_says_counts_beside_what_is_declared(sqlite_db: Database) -> None:
    tenant = _made(sqlite_db, {"a": [], "b": []})
    with sqlite_db.write() as session:
        directory.set_members(session, tenant, "b", ["group:a"], origin="ldap:corp")
    with sqlite_db.read() as session:
        assert cycles(session, tenant, {"a": [], "b": ["a"]}) == [("a", "b")]


def test_a_plan_and_an_apply_warn_and_do_it(tmp_path: Path) -> None:
    setup = tmp_path / "groups.yaml"
    setup.write_text("kind: Group\nid: a\ngroups: [b]\n---\nkind: Group\nid: b\ngroups: [a]\n", "utf-8")
    data = tmp_path / "data"
    ambit(data, "init")
    for command in ("plan", "apply"):
        done = ambit(data, command, str(setup))
        assert done.status == 0, done.err
        assert "warning: a, b hold one another" in done.err


def test_nobody_is_said_to_gain_by_joining_what_is_not_there(sqlite_db: Database) -> None:
    tenant = _made(sqlite_db, {"a": []})
    for proposal in (Proposal(join=(("ghosts", "user:ana"),)), Proposal(leave=(("ghosts", "user:ana"),))):
        with pytest.raises(NotFoundError, match="ghosts"), sqlite_db.write() as session:
            proposal.make(session, tenant)
