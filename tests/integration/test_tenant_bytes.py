"""Secret documents that one tenant takes in leave every byte that another one is answered as it was."""

from __future__ import annotations

import re
from typing import Any

import httpx
from sqlalchemy import func, select

from api import keys
from core.tables import Document, Source
from policies import directory
from policies.epoch import bump
from tests.integration.conftest import Installation

VARYING = re.compile(
    r'"(?:took_ms|request_id|created|id|answer_id|access_token|last_used|at|since|age_s)":'
    r' ?(?:[0-9.e+-]+|"(?:req|ans|chatcmpl|msg)[^"]*"|"\d{4}-[^"]*")'
)
"""What no two answers have alike, whoever asks and whatever is stored: how long it took, the random ids of the request
and of the answer, the second at which a chat's answer was made, the time at which an access question was asked, with
the ages that follow from it, and what the questions themselves move on: to be shown a document is to use a right."""
HEADERS = {"date", "x-request-id", "content-length"}
"""Headers that are none of the content; the length follows from the digits of `took_ms`."""
QUERIES = ("budget report", "secret merger", "zebra")
PEOPLE = ("ana", "bob", "eve")
LISTS = (
    "documents", "documents?limit=1", "sources", "users", "groups", "apps", "keys", "grants", "policies", "runs",
    "classifications", "approvals", "directories", "access/entries", "access/break-glass", "access/review",
)  # fmt: skip


def _told(answer: httpx.Response) -> tuple[Any, ...]:
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in HEADERS)
    return str(answer.request.url), answer.status_code, headers, VARYING.sub('"-"', answer.text)


def _of_a_person(ambit: Installation, user: str, document: str) -> list[httpx.Response]:
    chat, done = ambit.keys["chat"], []
    for query in QUERIES:
        done.append(ambit.chat("/v1/retrieve", user, {"query": query, "top_k": 20}))
        done.append(ambit.chat("/v1/query", user, {"query": query}))
    body = {"model": "default", "messages": [{"role": "user", "content": QUERIES[0]}]}
    done.append(ambit.chat("/v1/chat/completions", user, body))
    done.append(ambit.chat("/v1/chat/completions", user, {**body, "stream": True}))
    done.append(ambit.chat("/v1/query", user, {"query": QUERIES[1], "stream": True}))
    read = ("documents", "sources", "models", "documents/doc_0", "catalog", "catalog/documents")
    paths = (*read, f"documents/{document}", f"documents/{document}/passages")
    return done + [ambit.call("GET", f"/v1/{path}", chat, user=user) for path in paths]


def _asked(ambit: Installation, document: str) -> list[tuple[Any, ...]]:
    """Everything that people, apps and admins of the first tenant may ask."""
    done = [answer for user in PEOPLE for answer in _of_a_person(ambit, user, document)]
    done += [ambit.admin("GET", f"/v1/{path}") for path in LISTS]
    for question in ("who-can-read", "history"):
        done.append(ambit.admin("POST", f"/v1/access/{question}", json={"document": document, "epoch": 3}))
    done.append(ambit.admin("POST", "/v1/access/explain", json={"document": document, "user": "bob"}))
    done.append(ambit.chat("/v1/retrieve", "ana", {"query": "x", "top_k": -1}))
    done.append(ambit.chat("/v1/retrieve", "stranger", {"query": "x"}))
    return [_told(one) for one in done]


def _second_tenant(ambit: Installation) -> str:
    """Another tenant with people, an app and a source of the same names; the key of its app."""
    runtime = ambit.runtime
    with runtime.db.write() as session:
        tenant = directory.put_tenant(session, "other").id
        for user in (*PEOPLE, "mallory"):
            directory.put_user(session, tenant, user, email=f"{user}@example.com")
        directory.put_app(session, tenant, "feeder")
        _, key = keys.create(session, runtime.keyring, tenant, "feeder", ["ingest"])
        access = {"allow": ["everyone"]}
        epoch = bump(session, tenant)
        session.add(Source(tenant_id=tenant, key="notes", connector="push", config={}, access=access, epoch_from=epoch))
    return key


def _fill(ambit: Installation, key: str) -> None:
    """Takes in ten documents of the second tenant, which hold the words that the first one asks for."""
    own, ambit.keys["feeder"] = ambit.keys["feeder"], key
    for number in range(10):
        text = f"# Secret merger {number}\n\nThe secret budget report of the heron merger {number} is a zebra."
        ambit.push(f"secret{number}", text, title=f"Secret merger {number}")
    ambit.keys["feeder"] = own


def _own_documents(ambit: Installation) -> str:
    """The id of a document of the first tenant beside which there is one that only eve may read."""
    ambit.push("plan", "The plan says nothing of a merger. A zebra waits.", access={"allow": ["user:eve"]})
    text = "# Budget\n\nThe heron budget of the report is 12."
    return str(ambit.push("budget", text, title="Budget")["document_id"])


def test_another_tenants_documents_leave_every_byte_as_it_was(ambit: Installation) -> None:
    document = _own_documents(ambit)
    other = _second_tenant(ambit)
    _asked(ambit, document)
    before = _asked(ambit, document)
    _fill(ambit, other)
    with ambit.runtime.db.read() as session:
        count = select(func.count()).select_from(Document).where(Document.version_id.is_not(None))
        assert session.scalar(count) == 12
    after = _asked(ambit, document)
    assert [(one, now) for one, now in zip(before, after, strict=True) if one != now] == []
    assert {one[1] for one in before} == {200, 403, 404, 422}
    assert '"Budget"' in "".join(one[3] for one in before)
    assert "Secret" not in "".join(one[3] for one in after)


def test_its_own_documents_do_change_what_it_is_answered(ambit: Installation) -> None:
    document = _own_documents(ambit)
    before = [_told(one) for one in _of_a_person(ambit, "bob", document)]
    _fill(ambit, ambit.keys["feeder"])
    after = [_told(one) for one in _of_a_person(ambit, "bob", document)]
    assert sum(one != now for one, now in zip(before, after, strict=True)) > 5
