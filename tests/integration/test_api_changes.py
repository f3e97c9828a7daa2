"""Every request that changes something leaves an entry with what was and what is, by the request's own id."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.conftest import Installation
from tests.integration.test_api_canary_routes import GOOD, OBJECTS, filled

QUESTIONS = {
    "POST /v1/retrieve", "POST /v1/query", "POST /v1/chat/completions", "POST /v1/access/rights",
    "POST /v1/access/check", "POST /v1/access/explain", "POST /v1/access/who-can-read", "POST /v1/access/history",
    "POST /v1/access/simulate", "POST /v1/directories/{key}/check",
}  # fmt: skip
"""What is asked with a body and changes nothing."""
SAME = {"PATCH /v1/sources/{key}", "PUT /v1/apps/{key}", "PUT /v1/classifications", "POST /v1/runs/{run_id}/retry"}
"""Where the good body finds all as it should be: what was and what is are alike."""
ELSEWHERE = {
    "DELETE /v1/access/break-glass/{glass}", "DELETE /v1/keys/{prefix}", "POST /v1/access/break-glass",
    "POST /v1/access/entries/{entry}/waive", "POST /v1/approvals/{approval}/approve",
    "POST /v1/approvals/{approval}/reject", "POST /v1/directories/{key}/sync", "POST /v1/erasures/{erasure}/verify",
    "POST /v1/runs/{run_id}/approve", "POST /v1/sources/{key}/readmit",
    "POST /v1/runs/{run_id}/cancel", "POST /v1/runs/{run_id}/pause", "POST /v1/runs/{run_id}/reject",
    "POST /v1/runs/{run_id}/resume", "POST /v1/sources/{key}/sync", "POST /scim/v2/.search",
    *(f"{verb} /scim/v2/{kind}/{{key}}" for verb in ("PUT", "PATCH", "DELETE") for kind in ("Users", "Groups")),
}  # fmt: skip
"""What has nothing to change in the walk, and a test below or in the file of its feature."""


def _entries(ambit: Installation, answer: httpx.Response) -> list[dict[str, Any]]:
    found = ambit.admin("GET", "/v1/audit", params={"request_id": answer.headers["X-Request-Id"]})
    data: list[dict[str, Any]] = found.json()["data"]
    return data


def test_whatever_changes_something_is_audited_with_before_and_after(ambit: Installation) -> None:
    """All routes of the OpenAPI in the order of `GOOD`, as who may do everything."""
    job = ambit.push("menu", "Soup on Mondays.")
    names = OBJECTS | {"document_id": job["document_id"], "run_id": job["job_id"]}
    ambit.app("walker", ["query"])
    ambit.app("entra", ["provision"])
    keys = {**ambit.keys, "admin": ambit.admin_key}
    refused = set()
    for route, body in GOOD.items():
        method, path = route.split(" ")
        if method == "GET" or route in QUESTIONS:
            continue
        own = names | ({"key": "spare"} if "sources" in path else {})
        app = "feeder" if route == "POST /v1/documents" else "entra" if "/scim/" in route else "admin"
        answer = ambit.call(method, path.format_map(own), keys[app], json=filled(body or {}, own))
        if answer.status_code >= 400:
            refused.add(route)
            continue
        entries = _entries(ambit, answer)
        assert entries, f"{route} left no entry"
        for entry in entries:
            told = entry["body"]
            assert {"before", "after"} <= told.keys(), (route, entry)
            assert (told["before"] != told["after"]) is (route not in SAME), (route, entry)
            assert entry["actor"] == f"app:{app}"
    assert sorted(refused) == sorted(ELSEWHERE)


def _change(ambit: Installation, method: str, path: str, body: Any = None) -> dict[str, Any]:
    answer = ambit.admin(method, path, **({} if body is None else {"json": body}))
    assert answer.is_success, answer.text
    (entry,) = _entries(ambit, answer)
    return entry


def test_keys_tell_what_they_may_and_never_themselves(ambit: Installation) -> None:
    made = ambit.admin("POST", "/v1/keys", json={"app": "chat", "rights": ["query"]})
    (entry,) = _entries(ambit, made)
    assert entry["body"]["before"] is None
    assert entry["body"]["after"]["rights"] == ["query"]
    assert made.json()["key"] not in str(entry)
    revoked = _change(ambit, "DELETE", f"/v1/keys/{made.json()['prefix']}")
    assert revoked["body"]["before"]["revoked_at"] is None
    assert revoked["body"]["after"]["revoked_at"] is not None
    again = ambit.admin("DELETE", f"/v1/keys/{made.json()['prefix']}")
    assert (again.status_code, _entries(ambit, again)) == (200, []), "twice changes nothing"


def test_runs_tell_where_they_stood(ambit: Installation) -> None:
    folder = {"id": "files", "connector": "folder", "config": {"path": "/none"}, "access": {"allow": ["everyone"]}}
    assert ambit.admin("POST", "/v1/sources", json=folder).status_code == 201
    started = _change(ambit, "POST", "/v1/sources/files/sync")
    assert (started["action"], started["body"]["before"]) == ("admin.source.sync", None)
    run = started["body"]["run"]
    states = []
    for verb in ("pause", "resume", "cancel"):
        body = _change(ambit, "POST", f"/v1/runs/{run}/{verb}")["body"]
        states.append((body["before"]["state"], body["after"]["state"]))
    assert states == [("queued", "paused"), ("paused", "listing"), ("listing", "cancelled")]
    assert ambit.admin("GET", "/v1/audit", params={"subject": f"run:{run}"}).json()["data"][0]["body"]["run"] == run


def test_a_provisioner_tells_what_it_stated(ambit: Installation) -> None:
    key = ambit.app("entra", ["provision"])

    def call(method: str, path: str, body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        answer = ambit.call(method, f"/scim/v2/{path}", key, json=body)
        assert answer.is_success, answer.text
        (entry,) = _entries(ambit, answer)
        return (answer.json() if answer.content else {}), entry["body"]

    schema = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}
    user, told = call("POST", "Users", {**schema, "userName": "zoe", "emails": [{"value": "zoe@example.com"}]})
    assert (told["before"], told["after"]["email"], told["user"]) == (None, "zoe@example.com", user["id"])
    patch = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}
    off = {**patch, "Operations": [{"op": "replace", "path": "active", "value": False}]}
    _, told = call("PATCH", f"Users/{user['id']}", off)
    assert (told["before"]["active"], told["after"]["active"]) == (True, False)
    group = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Cooks"}
    made, told = call("POST", "Groups", group)
    add = {**patch, "Operations": [{"op": "add", "path": "members", "value": [{"value": user["id"]}]}]}
    _, told = call("PATCH", f"Groups/{made['id']}", add)
    assert (told["before"]["members"], told["after"]["members"]) == ([], [f"user:{user['id']}"])


@pytest.mark.integration
def test_on_postgresql_too(postgres_ambit: Installation) -> None:
    test_keys_tell_what_they_may_and_never_themselves(postgres_ambit)
    test_runs_tell_where_they_stood(postgres_ambit)
    test_a_provisioner_tells_what_it_stated(postgres_ambit)
