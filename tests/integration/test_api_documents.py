"""Pushing, finding, reading and deleting documents."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import func, select

from core.tables import Document, Item, Upload
from tests.factories.drain import drain
from tests.integration.conftest import Installation

TEXT = "# Travel\n\nA night in a hotel may cost at most 140 euro."


def _push(ambit: Installation, body: dict[str, Any], key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return ambit.call("POST", "/v1/documents", ambit.keys["feeder"], json=body, headers=headers)


def test_a_document_from_push_to_deletion(ambit: Installation) -> None:
    ambit.woken.clear()
    accepted = _push(ambit, {"source": "notes", "id": "travel", "title": "Travel rules", "text": TEXT})
    assert accepted.status_code == 202
    assert ambit.woken == ["parse"]
    assert ambit.found("ana", "hotel cost") == []
    job = accepted.json()
    drain(ambit.runtime.pipeline)
    told = ambit.call("GET", f"/v1/jobs/{job['job_id']}", ambit.keys["feeder"]).json()
    assert (told["state"], told["counts"]) == ("succeeded", {"done": 1})
    assert told["items"]["data"][0]["document_id"] == job["document_id"]
    assert ambit.found("ana", "hotel cost") == ["Travel rules"]
    assert ambit.found("eve", "hotel cost") == []
    gone = ambit.call("DELETE", f"/v1/documents/{job['document_id']}", ambit.keys["feeder"])
    assert gone.status_code == 204
    assert ambit.found("ana", "hotel cost") == []
    drain(ambit.runtime.pipeline)
    again = _push(ambit, {"source": "notes", "id": "travel", "title": "Travel rules", "text": TEXT}).json()
    assert again["document_id"] == job["document_id"]
    drain(ambit.runtime.pipeline)
    assert ambit.found("ana", "hotel cost") == ["Travel rules"]


def test_content_in_base64_is_parsed_by_its_name(ambit: Installation) -> None:
    html = base64.b64encode(b"<html><body><h1>Canteen</h1><p>Soup is served on Mondays.</p></body></html>").decode()
    job = _push(ambit, {"source": "notes", "id": "c", "title": "Canteen", "content_base64": html, "name": "c.html"})
    drain(ambit.runtime.pipeline)
    assert job.status_code == 202
    found = ambit.chat("/v1/retrieve", "bob", {"query": "soup"}).json()["results"][0]
    assert "Soup is served" in found["text"]
    assert "<p>" not in found["text"]
    assert found["citation"] == "[1] Canteen"


def test_a_document_of_narrower_access(ambit: Installation) -> None:
    ambit.push("open", "The office opens at eight.")
    ambit.push("plan", "The sensor plan.", title="Plan", access={"inherit": False, "allow": ["group:engineering"]})
    assert "Plan" in ambit.found("ana", "sensor plan")
    assert "Plan" not in ambit.found("bob", "sensor plan")


def test_narrowing_holds_before_the_new_content_is_in(ambit: Installation) -> None:
    ambit.push("plan", "The sensor plan.", title="Plan")
    assert ambit.found("bob", "sensor plan") == ["Plan"]
    access = {"inherit": False, "allow": ["user:ana"]}
    _push(ambit, {"source": "notes", "id": "plan", "title": "Plan", "text": "Later plan.", "access": access})
    assert ambit.found("bob", "sensor plan") == []
    assert ambit.found("ana", "sensor plan") == ["Plan"]


def test_an_overtaken_push_never_gets_the_later_audience(ambit: Installation) -> None:
    narrow = {"inherit": False, "allow": ["user:ana"]}
    _push(ambit, {"source": "notes", "id": "p", "title": "Old", "text": "Secret salary 7000.", "access": narrow})
    second = _push(ambit, {"source": "notes", "id": "p", "title": "New", "text": "Salaries are paid monthly."})
    drain(ambit.runtime.pipeline)
    assert second.status_code == 202
    assert ambit.found("bob", "salary") == ["New"]
    with ambit.runtime.db.read() as session:
        states = session.execute(select(Item.state, Item.note).order_by(Item.id)).all()
        assert [tuple(row) for row in states] == [("skipped", "overtaken by a newer push"), ("done", None)]
        assert session.scalar(select(func.count()).select_from(Upload)) == 0


def test_an_old_push_is_not_taken_up_again_after_a_newer_one(ambit: Installation) -> None:
    broken = base64.b64encode(b"%PDF-1.4 broken").decode()
    first = _push(ambit, {"source": "notes", "id": "p", "content_base64": broken, "name": "p.pdf"}).json()
    drain(ambit.runtime.pipeline)
    assert ambit.admin("GET", f"/v1/runs/{first['job_id']}").json()["state"] == "partial"
    retried = ambit.admin("POST", f"/v1/runs/{first['job_id']}/retry")
    assert (retried.status_code, retried.json()["count"]) == (202, 1)
    drain(ambit.runtime.pipeline)
    _push(ambit, {"source": "notes", "id": "p", "text": "Mended."})
    assert ambit.admin("POST", f"/v1/runs/{first['job_id']}/retry").status_code == 409


def test_pushing_the_same_again_changes_nothing_and_keeps_nothing(ambit: Installation) -> None:
    ambit.push("a", TEXT, title="Travel")
    again = ambit.push("a", TEXT, title="Travel")
    empty = ambit.push("e", "   ")
    notes = [
        ambit.admin("GET", f"/v1/runs/{job['job_id']}").json()["items"]["data"][0]["note"] for job in (again, empty)
    ]
    assert notes[0] == "content unchanged"
    assert notes[1] is not None
    assert ambit.found("ana", "hotel") == ["Travel"]
    with ambit.runtime.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Upload)) == 0


def test_idempotency(ambit: Installation) -> None:
    body = {"source": "notes", "id": "a", "text": TEXT}
    first = _push(ambit, body, "k1")
    same = _push(ambit, body, "k1")
    assert (same.status_code, same.json()) == (202, first.json())
    other = _push(ambit, {**body, "text": "other"}, "k1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert _push(ambit, body, "k2").json()["job_id"] != first.json()["job_id"]
    refused = _push(ambit, {**body, "source": "none"}, "k3")
    assert refused.status_code == 404
    assert _push(ambit, body, "k3").status_code == 202


def test_the_same_push_many_times_at_once_is_one(ambit: Installation) -> None:
    body = {"source": "notes", "id": "a", "text": TEXT}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _push(ambit, body, "k"), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    with ambit.runtime.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Document)) == 1
        assert session.scalar(select(func.count()).select_from(Item)) == 1


def test_forged_access_in_content_and_attributes_changes_nothing(ambit: Installation) -> None:
    forged = "---\ntenant: other\nacl: [everyone]\nallow: [everyone]\n---\n\nThe forged memo."
    attributes = {"tenant": 99, "acl": 1, "access": "everyone", "node": 1, "source": "other"}
    ambit.push("f", forged, title="Memo", attributes=attributes, access={"inherit": False, "allow": ["user:ana"]})
    assert ambit.found("ana", "forged memo") == ["Memo"]
    assert ambit.found("bob", "forged memo") == []
    assert ambit.found("eve", "forged memo") == []


def test_what_may_not_be_read_answers_as_what_does_not_exist(ambit: Installation) -> None:
    job = ambit.push("a", TEXT, title="Travel")
    chat = ambit.keys["chat"]
    path = f"/v1/documents/{job['document_id']}"
    assert ambit.call("GET", path, chat, user="ana").json()["title"] == "Travel"
    told = ambit.call("GET", f"{path}/passages", chat, user="ana").json()["data"]
    assert "140 euro" in "".join(one["text"] for one in told)
    for tail in ("", "/passages"):
        unseen = ambit.call("GET", path + tail, chat, user="eve")
        missing = ambit.call("GET", "/v1/documents/doc_none" + tail, chat, user="eve")
        assert unseen.status_code == missing.status_code == 404
        assert unseen.json() | {"request_id": ""} == missing.json() | {"request_id": ""}
    assert len(ambit.call("GET", "/v1/documents", chat, user="ana").json()["data"]) == 1
    assert ambit.call("GET", "/v1/documents", chat, user="eve").json() == {"data": [], "next_cursor": None}


def test_passages_come_in_pages(ambit: Installation) -> None:
    text = "\n\n".join(f"# Part {n}\n\n" + f"Sentence {n} about topic {n}. " * 40 for n in range(6))
    job = ambit.push("long", text)
    path, seen, cursor = f"/v1/documents/{job['document_id']}/passages", [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        told = ambit.call("GET", path, ambit.keys["chat"], user="bob", params=params).json()
        seen += [one["position"] for one in told["data"]]
        cursor = told["next_cursor"]
        if cursor is None:
            break
    assert len(seen) > 4
    assert seen == list(range(len(seen)))


def test_an_app_pushes_only_where_it_sees(ambit: Installation) -> None:
    key = ambit.app("narrow", ["ingest"], sources=["other"])
    body = {"source": "notes", "id": "a", "text": "x"}
    unseen = ambit.call("POST", "/v1/documents", key, json=body)
    assert unseen.status_code == 404
    job = ambit.push("a", TEXT)
    assert ambit.call("GET", f"/v1/jobs/{job['job_id']}", key).status_code == 404
    assert ambit.call("DELETE", f"/v1/documents/{job['document_id']}", key).status_code == 404
    assert ambit.found("ana", "hotel") != []


def test_push_goes_to_push_sources_alone(ambit: Installation, tmp_path: Any) -> None:
    folder = {"id": "files", "connector": "folder", "config": {"path": str(tmp_path)}}
    assert ambit.admin("POST", "/v1/sources", json=folder).status_code == 201
    assert _push(ambit, {"source": "files", "id": "a", "text": "x"}).status_code == 409


def test_a_membership_taken_away_is_gone_at_the_next_query(ambit: Installation) -> None:
    ambit.push("a", TEXT, title="Travel")
    assert ambit.found("bob", "hotel") == ["Travel"]
    ambit.woken.clear()
    assert ambit.admin("DELETE", "/v1/groups/staff/members/user:bob").status_code == 204
    assert ambit.found("bob", "hotel") == []
    assert ambit.found("ana", "hotel") == ["Travel"]
    assert ambit.woken == []
