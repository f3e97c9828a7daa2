"""Emergency access over HTTP: its own right, an end of its own, and marks on everything that is shown under it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import utc_now
from core.tables import Ace, AuditEntry, BreakGlass
from policies.grants import put_grant
from policies.scope import ScopeCache
from tests.integration.conftest import Installation

BODY = {"user": "eve", "places": ["notes:"], "reason": "incident 4711", "for_s": 600}


def audited(ambit: Installation, kind: str) -> list[dict[str, Any]]:
    with ambit.runtime.db.read() as session:
        rows = session.scalars(select(AuditEntry).where(AuditEntry.kind == kind).order_by(AuditEntry.id)).all()
        return [row.body for row in rows]


def test_it_opens_marks_shows_and_ends(ambit: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    document = ambit.push("menu", "Soup on Mondays.")["document_id"]
    secret = {"inherit": False, "allow": ["user:ana"], "deny": ["user:eve"]}
    ambit.push("secret", "Soup of the board.", access=secret)
    assert ambit.found("eve", "soup") == []
    opened = ambit.admin("POST", "/v1/access/break-glass", json=BODY)
    assert opened.status_code == 201, opened.text
    name = opened.json()["id"]
    assert "break_glass.open" in "".join(capsys.readouterr())
    assert len(ambit.found("eve", "soup")) == 1, "the menu, and not what she is refused by name"
    assert ambit.call("GET", f"/v1/documents/{document}", ambit.keys["chat"], user="eve").status_code == 200
    assert len(ambit.found("bob", "soup")) == 1
    assert [one.get("break_glass") for one in audited(ambit, "query")] == [None, [name], None]
    assert audited(ambit, "document.read")[-1]["break_glass"] == [name]
    assert audited(ambit, "break_glass.open")[0]["after"]["reason"] == "incident 4711"
    assert "ambit_break_glass_open 1.0" in ambit.client.get("/metrics").text
    review = ambit.admin("GET", "/v1/access/review?format=csv").text
    assert "break_glass,eve,notes" in review
    assert ambit.admin("DELETE", f"/v1/access/break-glass/{name}").json()["open"] is False
    assert ambit.found("eve", "soup") == []
    assert ambit.admin("DELETE", f"/v1/access/break-glass/{name}").status_code == 409
    assert audited(ambit, "break_glass.end")[0]["before"]["ended_at"] is None
    (listed,) = ambit.admin("GET", "/v1/access/break-glass").json()["data"]
    assert (listed["open"], listed["ended_by"]) == (False, "app:admin")
    assert "ambit_break_glass_open 0.0" in ambit.client.get("/metrics").text


def test_it_ends_by_itself(ambit: Installation) -> None:
    ambit.push("menu", "Soup on Mondays.")
    name = ambit.admin("POST", "/v1/access/break-glass", json=BODY).json()["id"]
    assert len(ambit.found("eve", "soup")) == 1
    past = utc_now() - timedelta(seconds=1)
    with ambit.runtime.db.write() as session:
        session.execute(update(Ace).where(Ace.expires_at.is_not(None)).values(expires_at=past))
        session.execute(update(BreakGlass).values(ends_at=past))
    ambit.runtime.retriever._scopes = ScopeCache()
    assert ambit.found("eve", "soup") == []
    assert audited(ambit, "query")[-1].get("break_glass") is None
    assert ambit.admin("DELETE", f"/v1/access/break-glass/{name}").status_code == 409


WRONG: list[dict[str, Any]] = [
    {"for_s": 14_401}, {"for_s": 0}, {"reason": "because"}, {"reason": " " * 10}, {"places": []}, {"places": ["none:"]},
    {"user": "nobody"},
]  # fmt: skip


def test_it_needs_a_time_a_reason_a_place_and_a_person(ambit: Installation) -> None:
    for wrong in WRONG:
        answer = ambit.admin("POST", "/v1/access/break-glass", json={**BODY, **wrong})
        assert answer.status_code in (404, 422), (wrong, answer.text)
    assert audited(ambit, "break_glass.open") == []


def test_it_takes_its_own_right(ambit: Installation) -> None:
    ops = ambit.app("ops", ["admin"])
    grant = {"principals": ["app:ops"], "effect": "allow", "app": None, "not_before": None, "expires_at": None}
    with ambit.runtime.db.write() as session:
        rights = ["entry.*", "access.*", "source.*", "break_glass.end"]
        put_grant(session, ambit.tenant, "rest", {**grant, "rights": rights, "objects": ["*"]})
    assert ambit.call("POST", "/v1/access/break-glass", ops, json=BODY).status_code == 403
    with ambit.runtime.db.write() as session:
        put_grant(session, ambit.tenant, "it", {**grant, "rights": ["break_glass.open"], "objects": ["source:notes"]})
    assert ambit.call("POST", "/v1/access/break-glass", ops, json=BODY).status_code == 201
    other = {**BODY, "places": ["notes:", "files:"]}
    assert ambit.call("POST", "/v1/access/break-glass", ops, json=other).status_code == 403


def test_ending_what_one_may_not_end_and_what_is_not_there_is_refused_alike(ambit: Installation) -> None:
    name = ambit.admin("POST", "/v1/access/break-glass", json=BODY).json()["id"]
    ops = ambit.app("ops", ["admin"])
    grant = {"principals": ["app:ops"], "effect": "allow", "app": None, "not_before": None, "expires_at": None}
    with ambit.runtime.db.write() as session:
        rights = {"rights": ["break_glass.end"], "objects": ["source:other"]}
        put_grant(session, ambit.tenant, "ops", {**grant, **rights})
    there, nowhere = (ambit.call("DELETE", f"/v1/access/break-glass/{one}", ops) for one in (name, "brk_none"))
    assert (there.status_code, nowhere.status_code) == (403, 403)
    assert there.json() | {"request_id": ""} == nowhere.json() | {"request_id": ""}
    with ambit.runtime.db.write() as session:
        put_grant(session, ambit.tenant, "ops", {**grant, **rights, "objects": ["source:notes"]})
    assert ambit.call("DELETE", "/v1/access/break-glass/brk_none", ops).status_code == 403
    assert ambit.call("DELETE", f"/v1/access/break-glass/{name}", ops).json()["ended_by"] == "app:ops"
    assert ambit.admin("DELETE", "/v1/access/break-glass/brk_none").status_code == 404
