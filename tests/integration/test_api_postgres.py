"""What differs between databases: waiting for one another, and text that only some can hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from core.tables import Document, Item
from tests.factories.drain import drain
from tests.integration.conftest import Installation

pytestmark = pytest.mark.integration


def _push(ambit: Installation, body: dict[str, Any], key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return ambit.call("POST", "/v1/documents", ambit.keys["feeder"], json=body, headers=headers)


def test_the_same_push_many_times_at_once_is_one(postgres_ambit: Installation) -> None:
    ambit = postgres_ambit
    body = {"source": "notes", "id": "a", "title": "Travel", "text": "A night in a hotel may cost 140 euro."}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _push(ambit, body, "k"), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    with ambit.runtime.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Item)) == 1
    drain(ambit.runtime.pipeline)
    assert ambit.found("bob", "hotel") == ["Travel"]
    assert ambit.found("eve", "hotel") == []


def test_pushes_of_one_document_at_once_leave_one_of_them(postgres_ambit: Installation) -> None:
    ambit = postgres_ambit
    with ThreadPoolExecutor(8) as pool:
        bodies = [{"source": "notes", "id": "a", "text": f"Version {n} of the travel rules."} for n in range(8)]
        answers = list(pool.map(lambda body: _push(ambit, body), bodies))
    assert {answer.status_code for answer in answers} == {202}
    with ambit.runtime.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Document)) == 1
        states = sorted(session.scalars(select(Item.state)))
    assert states == ["pending"] + ["skipped"] * 7
    drain(ambit.runtime.pipeline)
    assert len(ambit.chat("/v1/retrieve", "ana", {"query": "travel rules"}).json()["results"]) == 1


def test_zero_bytes_are_refused_not_stumbled_over(postgres_ambit: Installation) -> None:
    ambit = postgres_ambit
    ask = {"query": "x\x00y", "filters": {"sources": ["a\x00"]}}
    assert ambit.chat("/v1/retrieve", "ana", ask).status_code == 422
    assert ambit.chat("/v1/retrieve", "ana", {"query": "x\x00y"}).status_code == 200
    chat = {"messages": [{"role": "user", "content": "x\x00y"}], "user": "a\x00b"}
    assert ambit.call("POST", "/v1/chat/completions", ambit.keys["chat"], json=chat).status_code == 403
    assert ambit.admin("GET", "/v1/users/a%00b").status_code == 400
    assert ambit.admin("GET", "/v1/documents?source=a%00b").status_code == 400
    job = _push(ambit, {"source": "notes", "id": "a", "text": "zero \x00 byte"}).json()
    drain(ambit.runtime.pipeline)
    (item,) = ambit.admin("GET", f"/v1/runs/{job['job_id']}").json()["items"]["data"]
    assert (item["state"], item["error_code"]) == ("failed", "type_unsupported")


def test_changes_made_at_once_from_one_state_are_one(postgres_ambit: Installation) -> None:
    ambit = postgres_ambit
    tag = ambit.admin("PUT", "/v1/users/zoe", json={}).headers["etag"]

    def change(number: int) -> int:
        body = {"attributes": {"number": number}}
        return ambit.admin("PUT", "/v1/users/zoe", json=body, headers={"If-Match": tag}).status_code

    def create(number: int) -> int:
        body = {"id": "twice", "connector": "push", "access": {"allow": [f"user:u{number}"]}}
        return ambit.admin("POST", "/v1/sources", json=body).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(change, range(6))) == [200] + [412] * 5
        assert sorted(pool.map(create, range(6))) == [201] + [409] * 5
        statuses = pool.map(lambda _: ambit.admin("PUT", "/v1/groups/new", json={}).status_code, range(6))
        assert sorted(statuses) == [200] * 5 + [201]


def test_people_and_pages(postgres_ambit: Installation) -> None:
    ambit = postgres_ambit
    ambit.push("a", "Open.", title="Open")
    assert ambit.admin("PUT", "/v1/users/zoe", json={"groups": ["staff"]}).status_code == 201
    assert ambit.found("zoe", "open") == ["Open"]
    assert ambit.admin("DELETE", "/v1/groups/staff/members/user:zoe").status_code == 204
    assert ambit.found("zoe", "open") == []
    listed = ambit.call("GET", "/v1/sources", ambit.keys["chat"], user="ana").json()["data"]
    assert [one["id"] for one in listed] == ["notes"]
    assert ambit.call("GET", "/v1/sources", ambit.keys["chat"], user="zoe").json()["data"] == []
    assert 'ambit_documents{state="live"} 1.0' in ambit.client.get("/metrics").text
