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
from tests.factories.world import WDoc, WEntry, WNode, World, WRule, WUser, build

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
