"""Sources, runs, people and what surrounds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from core.tables import AuditEntry, PolicyEpoch
from tests.factories.drain import drain
from tests.integration.conftest import Installation


def _audited(ambit: Installation) -> list[str]:
    with ambit.runtime.db.read() as session:
        return list(session.scalars(select(AuditEntry.kind).order_by(AuditEntry.id)))


def test_a_folder_from_registration_to_deletion(ambit: Installation, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.md").write_text("# Canteen\n\nSoup on Mondays.")
    body = {"id": "files", "connector": "folder", "config": {"path": str(tmp_path / "files")}}
    body |= {"access": {"allow": ["user:bob"]}}
    assert ambit.admin("POST", "/v1/sources", json=body).status_code == 201
    assert ambit.admin("POST", "/v1/sources", json=body).status_code == 409
    ambit.woken.clear()
    run = ambit.admin("POST", "/v1/sources/files/sync")
    assert (run.status_code, run.json()["state"], ambit.woken) == (202, "queued", ["list"])
    assert ambit.admin("POST", "/v1/sources/files/sync").json()["id"] == run.json()["id"]
    drain(ambit.runtime.pipeline)
    told = ambit.admin("GET", f"/v1/runs/{run.json()['id']}").json()
    assert (told["state"], told["counts"]) == ("succeeded", {"done": 1})
    assert ambit.found("bob", "soup") == ["Canteen"]
    assert ambit.found("ana", "soup") == []
    assert ambit.admin("DELETE", "/v1/sources/files").status_code == 204
    assert ambit.found("bob", "soup") == []
    assert ambit.admin("GET", "/v1/sources/files").status_code == 404
    assert ambit.admin("POST", "/v1/sources/files/sync").status_code == 404
    assert ambit.admin("POST", "/v1/sources", json=body).status_code == 201
    kinds = [kind for kind in _audited(ambit) if kind.startswith("admin.source")]
    assert kinds == [f"admin.source.{one}" for one in ("create", "create", "sync", "sync", "delete", "create")]


def test_failed_items_are_told_and_retried(ambit: Installation, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (tmp_path / "files" / "fine.md").write_text("Fine.")
    body = {"id": "files", "connector": "folder", "config": {"path": str(tmp_path / "files")}}
    ambit.admin("POST", "/v1/sources", json=body)
    run = ambit.admin("POST", "/v1/sources/files/sync").json()["id"]
    drain(ambit.runtime.pipeline)
    failed = ambit.admin("GET", f"/v1/runs/{run}", params={"state": "failed"}).json()
    assert failed["state"] == "partial"
    (item,) = failed["items"]["data"]
    assert item["external_id"] == "broken.pdf"
    assert item["error_code"]
    assert "broken.pdf" in item["error_detail"]
    assert ambit.admin("POST", f"/v1/runs/{run}/retry", json={"code": "none"}).json()["count"] == 0
    assert ambit.admin("POST", f"/v1/runs/{run}/retry", json={"item": item["id"]}).json()["count"] == 1
    assert ambit.admin("POST", f"/v1/runs/{run}/approve").status_code == 409
    assert ambit.admin("POST", f"/v1/runs/{run}/cancel").json()["run"]["state"] == "cancelled"
    assert ambit.admin("POST", f"/v1/runs/{run}/cancel").status_code == 409
    assert [one["id"] for one in ambit.admin("GET", "/v1/runs?source=files").json()["data"]] == [run]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"config": {"path": 3}}, "config.path"),
        ({"config": {"path": ".", "password": "kanarienvogel"}}, "config.password"),
        ({"connector": "none", "config": {}}, None),
        ({"access": {"allow": ["nobody"]}}, "access"),
        ({"access": {"alow": []}}, "access"),
        ({"id": "No Id"}, "id"),
        ({"max_access_age_s": 0}, "max_access_age_s"),
    ],
)
def test_a_source_that_does_not_fit_names_the_field(ambit: Installation, change: Any, field: str | None) -> None:
    body = {"id": "files", "connector": "folder", "config": {"path": "."}, **change}
    answer = ambit.admin("POST", "/v1/sources", json=body)
    assert answer.status_code == 422, answer.text
    assert field in {one["field"] for one in answer.json().get("errors", [])} | {None}
    assert "kanarienvogel" not in answer.text
    assert len(ambit.admin("GET", "/v1/sources").json()["data"]) == 1


def test_a_person_sees_only_sources_they_can_read_in(ambit: Installation) -> None:
    secret = {"id": "secret", "connector": "push", "access": {"allow": ["user:ana"]}}
    ambit.admin("POST", "/v1/sources", json=secret)
    chat = ambit.keys["chat"]
    assert ambit.call("GET", "/v1/sources", chat, user="ana").json()["data"] == []
    ambit.push("a", "Open.")
    ambit.push("b", "Secret.", source="secret")
    names = {user: [one["id"] for one in _sources(ambit, user)] for user in ("ana", "bob", "eve")}
    assert names == {"ana": ["notes", "secret"], "bob": ["notes"], "eve": []}
    assert ambit.call("GET", "/v1/sources/secret", chat, user="ana").json() == {"id": "secret", "connector": "push"}
    unseen = ambit.call("GET", "/v1/sources/secret", chat, user="bob")
    ambit.admin("DELETE", "/v1/sources/secret")
    missing = ambit.call("GET", "/v1/sources/secret", chat, user="bob")
    assert unseen.status_code == missing.status_code == 404
    assert unseen.json() | {"request_id": ""} == missing.json() | {"request_id": ""}
    assert [one["id"] for one in ambit.admin("GET", "/v1/sources").json()["data"]] == ["notes"]


def _sources(ambit: Installation, user: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ambit.call("GET", "/v1/sources", ambit.keys["chat"], user=user).json()["data"]
    return found


def test_changing_the_access_of_a_push_source_holds_at_once(ambit: Installation) -> None:
    ambit.push("a", "The canteen opens at noon.", title="Canteen")
    held = ambit.admin("GET", "/v1/sources/notes")
    stale = {"If-Match": '"stale"'}
    change = {"access": {"allow": ["user:eve"]}}
    assert ambit.admin("PATCH", "/v1/sources/notes", json=change, headers=stale).status_code == 412
    fresh = {"If-Match": held.headers["etag"]}
    assert ambit.admin("PATCH", "/v1/sources/notes", json=change, headers=fresh).status_code == 200
    assert ambit.found("eve", "canteen") == ["Canteen"]
    assert ambit.found("bob", "canteen") == []
    assert ambit.admin("PATCH", "/v1/sources/notes", json={"max_access_age_s": 5}).status_code == 422
    assert ambit.admin("PATCH", "/v1/sources/notes", json={"config": None}).status_code == 422


def test_people_groups_and_apps(ambit: Installation) -> None:
    body = {"email": "Zoe@example.com", "attributes": {"clearance": "restricted"}, "groups": ["staff"]}
    made = ambit.admin("PUT", "/v1/users/zoe", json=body)
    assert (made.status_code, made.json()["email"], made.json()["groups"]) == (201, "zoe@example.com", ["staff"])
    tag = {"If-Match": made.headers["etag"]}
    changed = ambit.admin("PUT", "/v1/users/zoe", json={**body, "groups": []}, headers=tag)
    assert (changed.status_code, changed.json()["groups"]) == (200, [])
    assert ambit.admin("PUT", "/v1/users/zoe", json=body, headers=tag).status_code == 412
    assert ambit.admin("PUT", "/v1/users/new", json=body, headers=tag).status_code == 412
    group = ambit.admin("PUT", "/v1/groups/board", json={"members": ["user:zoe"], "groups": ["staff"]}).json()
    assert group == {"id": "board", "members": ["user:zoe"], "groups": ["staff"]}
    app = ambit.admin("PUT", "/v1/apps/bot", json={"sources": ["notes"], "acts_for": ["group:board"]}).json()
    assert app["acts_for"] == ["group:board"]
    assert ambit.admin("PUT", "/v1/apps/bot", json={"acts_for": ["board"]}).status_code == 422
    assert ambit.admin("PUT", "/v1/users/Not%20A%20Key", json={}).status_code == 422
    ambit.push("a", "Open.", title="Open")
    assert ambit.found("zoe", "open") == ["Open"]
    for path in ("/v1/users/zoe", "/v1/groups/board", "/v1/apps/bot"):
        assert ambit.admin("GET", path).status_code == 200
        assert ambit.admin("DELETE", path).status_code == 204
        assert ambit.admin("GET", path).status_code == 404
        assert ambit.admin("DELETE", path).status_code == 404
    assert ambit.chat("/v1/retrieve", "zoe", {"query": "open"}).status_code == 403
    kinds = set(_audited(ambit))
    assert kinds >= {f"admin.{one}.{verb}" for one in ("user", "group", "app") for verb in ("put", "delete")}


def test_lists_come_in_pages(ambit: Installation) -> None:
    seen: list[str] = []
    cursor = None
    for _ in range(10):
        told = ambit.admin("GET", "/v1/users", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [one["id"] for one in told["data"]]
        cursor = told["next_cursor"]
        if cursor is None:
            break
    assert seen == ["ana", "bob", "eve"]
    for wrong in ("x", "!!!!", "MjoxMg", "1:99999999999999999999999"):
        assert ambit.admin("GET", "/v1/users", params={"cursor": wrong}).status_code == 422
    assert ambit.admin("GET", "/v1/users", params={"limit": 0}).json()["errors"][0]["field"] == "limit"


def test_access_is_explained_to_admins_alone(ambit: Installation) -> None:
    job = ambit.push("a", "Open kanarienvogel.")
    ask = {"user": "eve", "document": job["document_id"]}
    assert ambit.admin("POST", "/v1/access/check", json=ask).json() == {"allowed": False, "reason": "no_entry"}
    told = ambit.admin("POST", "/v1/access/explain", json={**ask, "user": "ana", "app": "chat"})
    assert (told.json()["allowed"], told.json()["document"]) == (True, job["document_id"])
    assert told.json()["path"] == ["user:ana", "group:engineering", "group:staff"]
    assert "kanarienvogel" not in told.text
    assert ambit.admin("POST", "/v1/access/check", json={**ask, "document": "doc_none"}).status_code == 404
    assert ambit.call("POST", "/v1/access/check", ambit.keys["chat"], json=ask).status_code == 403
    assert {"admin.access.check", "admin.access.explain"} <= set(_audited(ambit))


def test_a_change_that_cannot_be_recorded_does_not_happen(ambit: Installation) -> None:
    with ambit.runtime.db.write() as session:
        before = session.scalar(select(PolicyEpoch.epoch))
        session.execute(text("ALTER TABLE audit_entry RENAME TO audit_away"))
    answer = ambit.admin("PUT", "/v1/users/zoe", json={})
    assert answer.status_code == 503
    assert "audit" not in answer.text
    with ambit.runtime.db.read() as session:
        assert session.scalar(select(PolicyEpoch.epoch)) == before
    assert ambit.admin("GET", "/v1/users/zoe").status_code == 404


def test_health_readiness_and_metrics(ambit: Installation) -> None:
    assert ambit.client.get("/healthz").json() == {"status": "ok"}
    assert ambit.client.get("/readyz").json() == {
        "ready": True, "parts": {"sql": True, "index": True, "encoder": True},
    }  # fmt: skip
    ambit.ready["encoder"] = False
    waiting = ambit.client.get("/readyz")
    assert (waiting.status_code, waiting.json()["parts"]["encoder"]) == (503, False)
    ambit.call(
        "POST", "/v1/documents", ambit.keys["feeder"], json={"source": "notes", "id": "kanarienvogel", "text": "x"}
    )
    ambit.client.get("/v1/kanarienvogel")
    told = ambit.client.get("/metrics").text
    assert 'ambit_queue_items{stage="parse",state="pending"} 1.0' in told
    assert 'ambit_documents{state="live"} 1.0' in told
    assert 'ambit_http_requests_total{method="POST",route="/v1/documents",status="202"} 1.0' in told
    assert 'route="unmatched",status="404"' in told
    for name in ("kanarienvogel", "notes", "ana", "feeder"):
        assert f'"{name}"' not in told
        assert "kanarienvogel" not in told


def test_problems_never_tell_internals(ambit: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("kanarienvogel in /srv/secret/path.py")

    monkeypatch.setattr(ambit.runtime.retriever, "retrieve", broken)
    answer = ambit.chat("/v1/retrieve", "ana", {"query": "x"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    for word in ("kanarienvogel", "RuntimeError", ".py", "Traceback", str(ambit.runtime.settings.data_dir)):
        assert word not in answer.text
    for method, path, status, code in (
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/v1/retrieve", 405, "method_not_allowed"),
        ("GET", "/docs", 404, "not_found"),
    ):
        answer = ambit.client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_openapi_offers_no_vectors_and_no_internals(ambit: Installation) -> None:
    told = ambit.client.get("/openapi.json")
    assert told.status_code == 200
    lowered = told.text.lower()
    for word in ("vector", "embedding", "httpvalidationerror", "tenant"):
        assert word not in lowered
