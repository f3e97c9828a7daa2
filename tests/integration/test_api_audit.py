"""The audit over HTTP: by its own right, page by page, by whatever one looks for, of one's own tenant alone."""

from __future__ import annotations

from typing import Any

import pytest

from policies.directory import put_tenant
from policies.grants import put_grant
from tests.integration.conftest import Installation


def read(ambit: Installation, key: str | None = None, **params: Any) -> list[dict[str, Any]]:
    answer = ambit.call("GET", "/v1/audit", key or ambit.admin_key, params=params)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def test_it_takes_its_own_right(ambit: Installation) -> None:
    ops = ambit.app("ops", ["admin"])
    assert ambit.call("GET", "/v1/audit", ops).status_code == 403
    body = {"principals": ["app:ops"], "effect": "allow", "app": None, "not_before": None, "expires_at": None}
    with ambit.runtime.db.write() as session:
        put_grant(session, ambit.tenant, "ops", {**body, "rights": ["audit.read"], "objects": ["audit:*"]})
    assert read(ambit, ops)
    assert ambit.call("GET", "/v1/audit", ambit.keys["chat"], user="ana").status_code == 403


def test_what_one_looks_for_is_found(ambit: Installation) -> None:
    document = ambit.push("menu", "Soup on Mondays.", title="Menu")["document_id"]
    assert ambit.found("ana", "soup") == ["Menu"]
    put = ambit.admin("PUT", "/v1/groups/cooks", json={"members": ["user:eve"]})
    (entry,) = read(ambit, request_id=put.headers["X-Request-Id"])
    assert (entry["actor"], entry["action"]) == ("app:admin", "admin.group.put")
    assert entry["body"]["before"] is None
    assert entry["body"]["after"] == {"id": "cooks", "members": ["user:eve"], "groups": []}
    (shown,) = read(ambit, subject=f"document:{document}", action="query")
    assert shown["actor"] == "user:ana"
    assert shown["request_id"].startswith("req_")
    assert [one["id"] for one in read(ambit, actor="user:ana")] == [shown["id"]]
    assert [one["id"] for one in read(ambit, subject="user:eve")] == [entry["id"]]
    assert [one["action"] for one in read(ambit, subject="source:notes")][-1] == "admin.source.create"
    assert read(ambit, subject="user:eve", action="admin.user.*") == []
    assert entry["id"] in {one["id"] for one in read(ambit, action="admin.*")}
    at = entry["at"]
    assert entry["id"] in {one["id"] for one in read(ambit, since=at)}
    assert entry["id"] not in {one["id"] for one in read(ambit, until=at)}
    assert "Soup" not in ambit.admin("GET", "/v1/audit").text


def test_pages_hold_every_entry_once(ambit: Installation) -> None:
    for number in range(7):
        assert ambit.admin("PUT", f"/v1/groups/g{number}", json={}).status_code == 201
    for params in ({"action": "admin.group.put"}, {"action": "admin.group.put", "subject": "group:g5"}):
        whole, seen, cursor = read(ambit, **params), [], None
        while True:
            page = ambit.admin(
                "GET", "/v1/audit", params={**params, "limit": 2, **({"cursor": cursor} if cursor else {})}
            )
            seen += page.json()["data"]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                break
        assert seen == whole
        assert len(whole) == (1 if "subject" in params else 7)


@pytest.mark.parametrize(
    "params",
    [{"subject": "ana"}, {"subject": "user:"}, {"since": "yesterday"}, {"since": "2026-01-01T00:00:00"}, {"limit": 0},
     {"cursor": "x"}, {"actor": "x" * 501}],
)  # fmt: skip
def test_what_is_asked_wrongly_is_refused(ambit: Installation, params: dict[str, Any]) -> None:
    assert ambit.admin("GET", "/v1/audit", params=params).status_code == 422


def test_wildcards_in_what_is_asked_mean_themselves(ambit: Installation) -> None:
    assert ambit.admin("PUT", "/v1/groups/cooks", json={}).status_code in {200, 201}
    for params in (
        {"action": "admin_group.put"},
        {"action": "%.*"},
        {"subject": "group:c%"},
        {"subject": "group:c__ks"},
    ):
        assert read(ambit, **params) == []


def _another_tenant(ambit: Installation) -> None:
    with ambit.runtime.db.write() as session:
        other = put_tenant(session, "other").id
        ambit.runtime.audit.append(session, other, "query", "user:ana", {"user": "ana"})


def test_another_tenants_entries_are_not_there(ambit: Installation) -> None:
    _another_tenant(ambit)
    assert read(ambit, action="query") == []


@pytest.mark.integration
def test_on_postgresql_too(postgres_ambit: Installation) -> None:
    _another_tenant(postgres_ambit)
    assert read(postgres_ambit, action="query") == []
    test_what_one_looks_for_is_found(postgres_ambit)
    test_wildcards_in_what_is_asked_mean_themselves(postgres_ambit)
