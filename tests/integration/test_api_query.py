"""Searching and answering over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from core.tables import AuditEntry, ConfigObject
from tests.factories.openai_server import Reply, openai_server
from tests.integration.conftest import Installation

HOTEL = "# Hotels\n\nA night in a hotel may cost at most 140 euro."


@pytest.fixture
def filled(ambit: Installation) -> Installation:
    ambit.push("hotel", HOTEL, title="Travel rules", uri="https://intra/travel", attributes={"team": "office"})
    ambit.push("train", "# Trains\n\nTravel by train in second class.", title="Trains", attributes={"team": "rail"})
    return ambit


def events(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    """Names and data of server-sent events."""
    found = []
    for block in answer.text.strip().split("\n\n"):
        kind, data = block.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_result_has_everything_a_citation_needs(filled: Installation) -> None:
    answer = filled.chat("/v1/retrieve", "ana", {"query": "hotel cost", "top_k": 1}).json()
    assert set(answer) == {"results", "took_ms"}
    (found,) = answer["results"]
    assert set(found) == {
        "chunk_id", "document_id", "title", "uri", "source", "text", "page", "heading", "score", "citation",
    }  # fmt: skip
    assert (found["title"], found["uri"], found["source"]) == ("Travel rules", "https://intra/travel", "notes")
    assert found["citation"] == "[1] Travel rules"
    assert "140 euro" in found["text"]


def test_filters_only_narrow(filled: Installation) -> None:
    assert filled.found("ana", "travel", filters={"facets": {"team": ["rail"]}}) == ["Trains"]
    assert filled.found("ana", "travel", filters={"facets": {"team": ["nobody"]}}) == []
    assert filled.found("ana", "travel", filters={"sources": []}) == []
    assert filled.found("ana", "travel", filters={"sources": ["none"]}) == []
    assert len(filled.found("ana", "travel", filters={"sources": ["notes"]})) == 2
    assert filled.found("eve", "travel", filters={"sources": ["notes"]}) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": " "}, "query"),
        ({"query": 3}, "query"),
        ({"query": "a" * 9000}, "query"),
        ({"query": "a", "top_k": 0}, "top_k"),
        ({"query": "a", "top_k": 100_000}, "top_k"),
        ({"query": "a", "tenant": 2}, "tenant"),
        ({"query": "a", "filters": {"acl": [1]}}, "filters.acl"),
        ({"query": "a", "filters": {"modified_from": "2026-01-01T00:00:00"}}, "filters.modified_from"),
        ({"query": "a", "filters": {"facets": {"team": "rail"}}}, "filters.facets.team"),
        ([], "body"),
    ],
)
def test_a_malformed_body_names_the_field(ambit: Installation, body: Any, field: str) -> None:
    answer = ambit.chat("/v1/retrieve", "ana", body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid"
    assert [one["field"] for one in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("sent", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"query": "\\ud800"}', b""])
def test_a_body_that_is_no_json_is_refused(ambit: Installation, sent: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = ambit.call("POST", "/v1/retrieve", ambit.keys["chat"], user="ana", content=sent, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_values_are_never_echoed(ambit: Installation) -> None:
    answer = ambit.chat("/v1/retrieve", "ana", {"query": {"deep": "kanarienvogel"}, "top_k": "kanarienvogel"})
    assert answer.status_code == 422
    assert "kanarienvogel" not in answer.text


def test_an_oversized_body_is_refused_however_it_is_sent(ambit: Installation) -> None:
    big = b'{"query": "' + b"a" * (3 * 1024 * 1024) + b'"}'

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    for content in (big, pieces()):
        headers = {"Content-Type": "application/json"}
        answer = ambit.call("POST", "/v1/retrieve", ambit.keys["chat"], user="ana", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_an_answer_with_citations(filled: Installation) -> None:
    answer = filled.chat("/v1/query", "ana", {"query": "What may a hotel night cost?"}).json()
    assert "140 euro" in answer["answer"]
    assert answer["model"] == "extractive"
    cited = answer["citations"][0]
    assert cited["title"] == "Travel rules"
    assert f"[{cited['number']}]" in answer["answer"]
    assert cited["chunk_id"] in {one["chunk_id"] for one in answer["passages"]}
    assert answer["withheld"] == []
    assert set(answer["usage"]) == {"input_tokens", "output_tokens", "estimated"}
    short = filled.chat("/v1/query", "ana", {"query": "What may a hotel night cost?", "passages": False}).json()
    assert short["passages"] is None


def test_nobody_is_answered_from_what_they_may_not_read(filled: Installation) -> None:
    answer = filled.chat("/v1/query", "eve", {"query": "What may a hotel night cost?"}).json()
    assert (answer["model"], answer["citations"], answer["passages"]) == (None, [], [])
    assert "140" not in answer["answer"]


def test_events_come_in_order(filled: Installation) -> None:
    body = {"query": "What may a hotel night cost?", "stream": True}
    answer = filled.chat("/v1/query", "ana", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer)
    kinds = [kind for kind, _ in found]
    assert kinds[0] == "retrieval"
    assert kinds[-2:] == ["usage", "done"]
    assert {"delta", "citation"} == set(kinds[1:-2])
    whole = filled.chat("/v1/query", "ana", {**body, "stream": False}).json()
    assert "".join(data["text"] for kind, data in found if kind == "delta").strip() == whole["answer"]
    assert [data for kind, data in found if kind == "citation"] == whole["citations"]
    nothing = events(filled.chat("/v1/query", "eve", body))
    assert [kind for kind, _ in nothing] == ["retrieval", "delta", "usage", "done"]
    assert nothing[0][1] == {"passages": []}


def test_what_goes_wrong_before_the_first_event_has_its_status(filled: Installation) -> None:
    answer = filled.chat("/v1/query", "ana", {"query": "hotel", "model": "none", "stream": True})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_an_error_in_the_middle_is_an_event(filled: Installation) -> None:
    with openai_server(Reply("The night may cost 140 euro [1].", drop_after=3)) as server:
        _declare(filled, server.url)
        answer = filled.chat("/v1/query", "ana", {"query": "hotel", "model": "remote", "stream": True})
    found = events(answer)
    assert found[0][0] == "retrieval"
    assert found[-1][0] == "error"
    assert found[-1][1]["code"] == "model_failed"
    assert server.url not in answer.text


def test_queries_are_recorded(filled: Installation) -> None:
    filled.chat("/v1/query", "ana", {"query": "kanarienvogel hotel"})
    with filled.runtime.db.read() as session:
        rows = session.scalars(select(AuditEntry).where(AuditEntry.kind.in_(["query", "answer"]))).all()
        assert [(row.kind, row.actor, row.body["app"]) for row in rows] == [
            ("query", "user:ana", "chat"),
            ("answer", "user:ana", "chat"),
        ]
        assert "kanarienvogel" not in str([row.body for row in rows])


def _declare(ambit: Installation, url: str) -> None:
    body = {
        "class": "llama_index.llms.openai_like.OpenAILike",
        "arguments": {"api_base": url, "model": "m", "api_key": "k", "is_chat_model": True, "max_retries": 0},
        "hosting": "internal",
        "max_classification": "restricted",
    }
    with ambit.runtime.db.write() as session:
        session.add(ConfigObject(tenant_id=ambit.tenant, kind="Model", key="remote", body=body))
