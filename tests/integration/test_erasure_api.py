"""Erasing over HTTP: what each right opens, what is told, and that the proof comes."""

from __future__ import annotations

from typing import Any

import pytest

from policies.grants import put_grant
from tests.factories.drain import drain
from tests.integration.conftest import Installation

GRANT: dict[str, Any] = {"effect": "allow", "app": None, "not_before": None, "expires_at": None}


def proven(ambit: Installation, asked: dict[str, Any]) -> dict[str, Any]:
    drain(ambit.runtime.pipeline)
    told: dict[str, Any] = ambit.admin("GET", f"/v1/erasures/{asked['id']}").json()
    assert told["state"] == "proven", told
    return told


def test_a_pushed_document_is_erased_and_kept_out(ambit: Installation) -> None:
    job = ambit.push("pay.md", "# Pay\n\nThe zeppelin budget is large.", uri="https://intra.example/hr/pay.md")
    assert ambit.found("ana", "zeppelin budget") == ["pay.md"]
    asked = ambit.admin("POST", f"/v1/documents/{job['document_id']}/erase", json={"reason": "by mistake"})
    assert (asked.status_code, asked.json()["state"]) == (202, "erasing")
    assert "purge" in ambit.woken
    assert ambit.found("ana", "zeppelin budget") == []
    told = proven(ambit, asked.json())
    assert (told["kind"], told["target"], told["reason"]) == ("document", job["document_id"], "by mistake")
    assert told["proof"]["scanned"]["collections"] == 1
    assert ambit.admin("GET", f"/v1/documents/{job['document_id']}?view=admin").status_code == 404
    again = {"source": "notes", "id": "pay.md", "text": "The zeppelin budget is large."}
    refused = ambit.call("POST", "/v1/documents", ambit.keys["feeder"], json=again)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert ambit.admin("POST", "/v1/sources/notes/readmit", json={"id": "pay.md"}).status_code == 204
    assert ambit.admin("POST", "/v1/sources/notes/readmit", json={"id": "pay.md"}).status_code == 404
    ambit.push("pay.md", "The zeppelin budget is large.")
    assert ambit.found("ana", "zeppelin budget") == ["pay.md"]


def test_a_person_and_a_source_are_erased(ambit: Installation) -> None:
    ambit.push("one.md", "The zeppelin budget is large.")
    assert ambit.found("ana", "zeppelin budget") == ["one.md"]
    person = ambit.admin("POST", "/v1/users/ana/erase")
    assert person.status_code == 202, person.text
    assert proven(ambit, person.json())["target"].startswith("erased-")
    entries = ambit.admin("GET", "/v1/audit?limit=200").text
    assert "ana" not in entries.replace("management", "")
    assert person.json()["target"] in entries
    assert ambit.chat("/v1/retrieve", "ana", {"query": "zeppelin"}).status_code == 403
    assert proven(ambit, ambit.admin("POST", "/v1/sources/notes/erase", json={}).json())["kind"] == "source"
    assert ambit.admin("GET", "/v1/sources/notes?view=admin").status_code == 404
    kinds = [one["kind"] for one in ambit.admin("GET", "/v1/erasures").json()["data"]]
    assert kinds == ["source", "person"]


def test_a_deny_over_somebody_holds_by_every_name_of_theirs(ambit: Installation) -> None:
    ops = ambit.app("ops", ["admin"])
    with ambit.runtime.db.write() as session:
        body = {**GRANT, "principals": ["app:ops"], "rights": ["user.erase"]}
        put_grant(session, ambit.tenant, "all", {**body, "objects": ["user:*"]})
        put_grant(session, ambit.tenant, "not-ana", {**body, "objects": ["user:ana"], "effect": "deny"})
    for name in ("ana", "ana@example.com", "ANA@example.com"):
        assert ambit.call("POST", f"/v1/users/{name}/erase", ops).status_code == 403, name
    assert ambit.call("POST", "/v1/users/bob@example.com/erase", ops).status_code == 202


def test_who_may_not_learns_nothing_of_what_there_is(ambit: Installation) -> None:
    job = ambit.push("one.md", "The zeppelin budget is large.")
    ops = ambit.app("ops", ["admin"])
    known = ambit.call("POST", f"/v1/documents/{job['document_id']}/erase", ops)
    unknown = ambit.call("POST", "/v1/documents/doc_none/erase", ops)
    assert known.status_code == unknown.status_code == 403
    assert known.json()["detail"] == unknown.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/documents/doc_none/erase", {}, 404),
        ("/v1/users/nobody/erase", {}, 404),
        ("/v1/sources/none/erase", {}, 404),
        ("/v1/erasures/era_none/verify", None, 404),
        ("/v1/users/ana/erase", {"reason": "two\nlines"}, 422),
        ("/v1/users/ana/erase", {"may_return": True}, 422),
        ("/v1/sources/notes/readmit", {}, 422),
    ],
)
def test_bad_requests_are_told(ambit: Installation, path: str, body: Any, status: int) -> None:
    answer = ambit.admin("POST", path, json=body)
    assert (answer.status_code, "code" in answer.json()) == (status, True), answer.text
