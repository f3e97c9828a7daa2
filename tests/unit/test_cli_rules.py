"""`ambit access rules` and the rule in `ambit access explain`."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from cli.access import show_explanation
from cli.access_rules import _reported, _show
from core.db import Database
from policies import rules_store, subject
from policies.explain import explain
from tests.factories.world import WApp, WDoc, WEntry, WNode, World, WRule, WSource, WUser, build

WORLD = World(
    users={"ana": WUser()},
    groups={},
    nodes={"root": WNode("s", entries=(WEntry("everyone"),))},
    documents={"note": WDoc("root")},
    rules=(WRule("forbid", "principal.department == 'law'"),),
)


def _printed(show: Any, *given: Any) -> str:
    out = StringIO()
    show(Console(file=out, width=200), *given)
    return out.getvalue()


def test_an_explanation_names_the_rule(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
        who = subject.resolve_subject(session, subject.Caller(built.tenant, "ana"))
        told = explain(session, who, built.documents["note"]).as_dict()
    told["external_id"] = "note"
    text = _printed(show_explanation, told)
    assert "ana may not read note: forbid_erred" in text
    assert "by rule r0, which errs: principal.department == 'law'" in text


WHOLE = World(
    users={"ana": WUser(attributes={"department": "law"})},
    groups={},
    apps={"chat": WApp(sources=("s",))},
    sources={"s": WSource(max_age=3600, crawled=60)},
    nodes={
        "root": WNode("s", entries=(WEntry("everyone"),), labels={"classification": "public"}),
        "=own": WNode(
            "s", parent="root", entries=(WEntry("user:ana", app="chat", end=600), WEntry("user:bob", end=-60))
        ),
    },
    documents={"note": WDoc("=own")},
    rules=(
        WRule("permit", "principal.department == 'hr'"),
        WRule("forbid", "document.classification == 'public'", enforced=False),
    ),
)


def test_an_explanation_is_told_whole(sqlite_db: Database) -> None:
    """The times and the app of entries, the losing ones, what each rule says, where labels stand, the source's age."""
    with sqlite_db.write() as session:
        built = build(session, WHOLE)
        who = subject.resolve_subject(session, subject.Caller(built.tenant, "ana", "chat"))
        told = explain(session, who, built.documents["note"]).as_dict()
    told["external_id"] = "note"
    text = _printed(show_explanation, told)
    own, ended = (one["expires_at"] for one in told["chain"][0]["entries"])
    assert f"by allow user:ana at the document itself, stated by the source, through chat, until {own}" in text
    assert f"allow user:bob (source, until {ended})  [ended]" in text
    assert "outweighed: allow everyone at root" in text
    assert "rule r0 (permit) does not hold" in text
    assert "rule r1 (forbid, report only) holds" in text
    assert "rule r1, were it enforced, would alone turn this round" in text
    assert "label classification: public (source, at root)" in text
    assert "source s: open; access data 60 s old, limit 3600 s; app chat sees s" in text


def test_an_explanation_names_what_a_narrow_place_asks_for(sqlite_db: Database) -> None:
    nodes = {
        "pay": WNode("s", entries=(WEntry("user:bob"),)),
        "bonus": WNode("s", parent="pay", mode="narrow", entries=(WEntry("everyone"),)),
    }
    world = World(users={"ana": WUser(), "bob": WUser()}, groups={}, nodes=nodes, documents={"note": WDoc("bonus")})
    told = {}
    with sqlite_db.write() as session:
        built = build(session, world)
        for person in world.users:
            who = subject.resolve_subject(session, subject.Caller(built.tenant, person))
            found = explain(session, who, built.documents["note"]).as_dict()
            told[person] = _printed(show_explanation, {**found, "external_id": "note"})
    assert "bonus is narrow, and above it is decided: no_entry" in told["ana"]
    assert "bonus is narrow, and above it is decided: allowed" in told["bob"]


def test_the_list_tells_what_was_counted(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        built = build(session, WORLD)
        rule = rules_store.put_rule(session, built.tenant, "r0", effect="forbid", condition="true", enforced=False)
        rules_store.count(session, built.tenant, {rule.id: 2}, {})
        (counted,) = rules_store.reports(session, built.tenant)
    told = _reported({"queries": 1, "documents": 2, "places": 0, "last_at": counted.last_at})
    row = {"id": "r0", "effect": "forbid", "when": "true", "enforced": False, "reported": told}
    text = _printed(_show, [row, {**row, "enforced": True, "reported": None}])
    assert "forbid r0 (report only): true" in text
    assert "would have refused 2 documents and opened 0 places in 1 queries" in text
    assert text.count("would have") == 1
    assert _printed(_show, []).strip() == "no rules"
    assert _reported(None) is None
