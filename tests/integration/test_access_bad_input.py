"""What comes in wrong or huge is answered plainly and opens nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.db import Database
from policies import decide, directory, scope, subject
from policies.rules_store import put_rule
from tests.factories.installation import Installation as Whole
from tests.factories.world import Built, WDoc, WEntry, WNode, World, WUser, build
from tests.integration.conftest import Installation

MANY = 10_000


def _world(*entries: WEntry, **groups: tuple[str, ...]) -> World:
    return World(
        users={"ana": WUser(groups=("a",)), "bob": WUser()},
        groups=groups,
        nodes={"root": WNode("s", entries=entries)},
        documents={"note": WDoc("root")},
    )


def _written(db: Database, world: World) -> Built:
    with db.write() as session:
        return build(session, world)


def _readers(db: Database, built: Built) -> set[str]:
    """Who may read the note, by the decision and by the scope alike."""
    found = set()
    with db.read(built.tenant) as session:
        for user in ("ana", "bob", "cy"):
            who = subject.resolve_subject(session, subject.Caller(built.tenant, user, None))
            document = built.documents["note"]
            allowed = decide.decide(session, who, [document])[document].allowed
            selected = scope.readable(session, who)
            passes = not selected.empty and (built.nodes["root"] in selected.nodes) != selected.complement
            assert passes == allowed
            found |= {user} if allowed else set()
    return found


def test_a_cycle_of_groups_ends_and_holds_whom_it_holds(db: Database) -> None:
    world = _world(WEntry("group:c"), a=("b",), b=("c",), c=("a",), d=("d",))
    assert _readers(db, _written(db, world)) == {"ana"}


def test_a_group_that_is_its_own_parent_holds_its_own_members(db: Database) -> None:
    world = _world(WEntry("group:a"), a=("a",))
    built = _written(db, world)
    assert _readers(db, built) == {"ana"}
    with db.write() as session:
        directory.set_containers(session, built.tenant, "user:ana", [])
    assert _readers(db, built) == set()


def test_an_allow_for_somebody_to_come_is_kept_and_powerless_until_then(db: Database) -> None:
    built = _written(db, _world(WEntry("user:cy"), WEntry("group:later")))
    assert _readers(db, built) == set()
    with db.write() as session:
        directory.put_user(session, built.tenant, "cy")
    assert _readers(db, built) == {"cy"}
    with db.write() as session:
        directory.set_containers(session, built.tenant, "user:bob", ["later"])
    assert _readers(db, built) == {"cy"}, "a group that nobody declared holds nobody"
    with db.write() as session:
        directory.put_group(session, built.tenant, "later")
    assert _readers(db, built) == {"cy", "bob"}


def test_a_deny_for_somebody_to_come_closes_the_place_until_they_do(db: Database) -> None:
    built = _written(db, _world(WEntry("everyone"), WEntry("user:cy", "deny"), a=()))
    assert _readers(db, built) == set()
    with db.write() as session:
        directory.put_user(session, built.tenant, "cy")
    assert _readers(db, built) == {"ana", "bob"}


@pytest.mark.parametrize(("effect", "readers"), [("permit", set()), ("forbid", set())])
def test_a_rule_that_divides_by_zero_opens_nothing(db: Database, effect: str, readers: set[str]) -> None:
    entries = [WEntry("everyone")] if effect == "forbid" else []
    built = _written(db, _world(*entries, a=()))
    with db.write() as session:
        put_rule(session, built.tenant, "zero", effect=effect, condition="10 / (size(principal.groups) * 0) > 1")
    assert _readers(db, built) == readers


def test_groups_in_circles_over_http(ambit: Installation) -> None:
    for group, above in (("x", ["y"]), ("y", ["x"]), ("z", ["z"])):
        assert ambit.admin("PUT", f"/v1/groups/{group}", json={"groups": above}).status_code in {200, 201}
    note = ambit.push("note", "The heron waits.", access={"inherit": False, "allow": ["group:x", "group:z"]})
    assert ambit.found("bob", "heron") == []
    told = ambit.admin("POST", "/v1/access/who-can-read", json={"document": note["document_id"]})
    assert told.status_code == 200
    assert told.json()["readers"] == []


def _many(**more: Any) -> dict[str, Any]:
    return {"inherit": False, "allow": [f"group:g{number}" for number in range(MANY)], **more}


def test_an_access_list_of_ten_thousand_over_http(ambit: Installation) -> None:
    ambit.push("note", "The heron waits.", title="Note", access=_many())
    assert ambit.found("ana", "heron") == []
    assert ambit.admin("PUT", "/v1/groups/g9999", json={"members": ["user:ana"]}).status_code in {200, 201}
    assert ambit.found("ana", "heron") == ["Note"]
    assert ambit.found("bob", "heron") == []
    ambit.push("note", "The heron waits.", title="Note", access=_many(deny=["user:ana"]))
    assert ambit.found("ana", "heron") == []


def test_an_access_list_of_ten_thousand_from_a_connector(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "note.txt").write_text("The heron waits.")
    listed = ", ".join(f"'group:g{number}'" for number in range(MANY))
    (files / ".access.yaml").write_text(f"files:\n  note.txt: {{inherit: false, allow: [{listed}]}}\n")
    place = Whole(tmp_path / "data")
    try:
        place.add_user("ana", "g5000")
        place.add_user("bob", "staff")
        place.add_folder(files)
        assert place.sync().state == "succeeded"
        assert [one.text for one in place.search("ana", "heron")] == ["The heron waits."]
        assert place.search("bob", "heron") == ()
    finally:
        place.close()
