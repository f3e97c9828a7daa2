"""The same questions over HTTP: an admin's alone, each recorded, nothing changed by asking."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from core.tables import AuditEntry
from tests.integration.conftest import Installation


def _pushed(ambit: Installation) -> str:
    ambit.push("hello", "Hello to all who work here.")
    documents = ambit.admin("GET", "/v1/documents").json()["data"]
    found: str = documents[0]["id"]
    return found


def _ask(ambit: Installation, what: str, **body: Any) -> Any:
    answer = ambit.admin("POST", f"/v1/access/{what}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_questions_and_their_audit(ambit: Installation) -> None:
    document = _pushed(ambit)
    told = _ask(ambit, "who-can-read", document=document)
    assert [one["user"] for one in told["readers"]] == ["ana", "bob"]
    assert told["readers"][0]["path"] == ["user:ana", "group:engineering", "group:staff"]
    change = {"leave": [{"group": "staff", "member": "user:bob"}]}
    told = _ask(ambit, "simulate", **change, documents=[{"kind": "User", "id": "eve", "groups": ["staff"]}])
    assert (told["gains"]["people"], told["losses"]["people"]) == (1, 1)
    assert [one["user"] for one in _ask(ambit, "who-can-read", document=document)["readers"]] == ["ana", "bob"]
    assert ambit.admin("DELETE", "/v1/groups/engineering").status_code == 204
    now = _ask(ambit, "history", document=document)
    past = _ask(ambit, "history", document=document, epoch=now["epoch"] - 1, at=now["at"])
    assert [one["user"] for one in past["readers"]] == ["ana", "bob"]
    assert [one["user"] for one in now["readers"]] == ["bob"]
    why = _ask(ambit, "history", document=document, epoch=now["epoch"] - 1, at=now["at"], user="ana")
    assert why["path"] == ["user:ana", "group:engineering", "group:staff"]
    with ambit.runtime.db.read() as session:
        kinds = session.scalars(select(AuditEntry.kind).where(AuditEntry.kind.like("admin.access.%"))).all()
    assert set(kinds) == {"admin.access.who_can_read", "admin.access.simulate", "admin.access.history"}


def test_the_review_in_three_forms(ambit: Installation) -> None:
    _pushed(ambit)
    told = ambit.admin("GET", "/v1/access/review?group=staff").json()
    assert {one["person"] for one in told["lines"] if one["kind"] == "access"} == {"ana", "bob"}
    sheet = ambit.admin("GET", "/v1/access/review?format=csv")
    assert sheet.headers["content-type"].startswith("text/csv")
    page = ambit.admin("GET", "/v1/access/review?format=html")
    assert page.text.startswith("<!doctype html>")
    assert ambit.admin("GET", "/v1/access/review?group=nope").status_code == 404


def test_they_are_an_admins_alone(ambit: Installation) -> None:
    document = _pushed(ambit)
    for what, body in (
        ("who-can-read", {"document": document}),
        ("history", {"document": document}),
        ("simulate", {"join": [{"group": "staff", "member": "user:eve"}]}),
    ):
        assert ambit.chat(f"/v1/access/{what}", "ana", body).status_code == 403
    assert ambit.call("GET", "/v1/access/review", ambit.keys["chat"], user="ana").status_code == 403


def test_what_cannot_be_asked(ambit: Installation) -> None:
    document = _pushed(ambit)
    for what, body, status in (
        ("who-can-read", {"document": "doc_none"}, 404),
        ("history", {"document": document, "at": "2999-01-01T00:00:00Z"}, 422),
        ("history", {"document": document, "epoch": 10**6}, 404),
        ("simulate", {"documents": [{"id": "x"}]}, 422),
        ("simulate", {"entries": [{"place": "notes:none", "principal": "everyone"}]}, 404),
        ("simulate", {"entries": [{"place": "notes:", "principal": "nonsense"}]}, 422),
    ):
        assert ambit.admin("POST", f"/v1/access/{what}", json=body).status_code == status, (what, body)
