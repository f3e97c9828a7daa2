"""The short way to a search and the ordinary one, which a charset in the header leads to, answer alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Installation

ORDINARY = {"Content-Type": "application/json; charset=utf-8"}
SHORT = {"Content-Type": "application/json"}
ITS_OWN = {"date", "x-request-id"}
GOOD = b'{"query": "parental leave", "top_k": 3}'


def alike(ambit: Installation, content: bytes, headers: dict[str, str]) -> httpx.Response:
    """The answer of both ways, which is one."""
    short, ordinary = (
        ambit.client.post("/v1/retrieve", content=content, headers={**headers, **way}) for way in (SHORT, ORDINARY)
    )
    assert (short.status_code, _lasting(short.json())) == (ordinary.status_code, _lasting(ordinary.json()))
    assert _headers(short) == _headers(ordinary)
    return short


def _lasting(body: dict[str, Any]) -> dict[str, Any]:
    words = {"request_id": "", "took_ms": 0.0}
    return {name: words.get(name, value) for name, value in body.items() if name != "detail"} | {
        "detail": str(body.get("detail", "")).replace(str(body.get("request_id")), "")
    }


def _headers(answer: httpx.Response) -> dict[str, str]:
    """What a header says; the length of an answer that tells a time differs with the time."""
    own = ITS_OWN | ({"content-length"} if answer.status_code == 200 else set())
    return {name: value for name, value in answer.headers.items() if name not in own}


@pytest.fixture
def asked(ambit: Installation) -> dict[str, str]:
    """Headers of a search for ana."""
    ambit.push("leave", "# Leave\n\nParental leave lasts sixteen weeks.", title="Leave")
    return {"Authorization": f"Bearer {ambit.keys['chat']}", "X-Ambit-User": "ana"}


def test_a_search_finds_the_same_and_is_audited_and_counted(ambit: Installation, asked: dict[str, str]) -> None:
    found = alike(ambit, GOOD, asked)
    assert [one["title"] for one in found.json()["results"]] == ["Leave"]
    told = ambit.admin("GET", "/v1/audit", params={"request_id": found.headers["X-Request-Id"]}).json()["data"]
    assert [one["action"] for one in told] == ["query"]
    count = next(
        line for line in ambit.admin("GET", "/metrics").text.splitlines() if 'route="/v1/retrieve",status="200"' in line
    )
    assert count.endswith(" 2.0"), count


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"query": ""}',
        b'{"query": "a", "top_k": 0}',
        b'{"query": "a", "top_k": 10000}',
        b'{"query": "a", "top_k": "3"}',
        b'{"query": "a", "top_k": NaN}',
        b'{"query": "\\ud800"}',
        b'{"query": "\xff"}',
        b'{"query": "a", "filters": {"colour": ["red"]}}',
        b'{"query": "a", "filters": {"modified_from": "2024-01-01T00:00:00Z"}}',
        b'{"query": "a", "filters": {"modified_from": 1704067200}}',
        b'{"query": "a", "unknown": 1}',
        b'{"query": "a", "query": "parental leave"}',
    ],
)
def test_every_body_is_read_alike(ambit: Installation, asked: dict[str, str], content: bytes) -> None:
    alike(ambit, content, asked)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"X-API-Key": "another"}, 401),
        ({"X-Ambit-User": "nobody"}, 403),
        ({"X-Ambit-User": ""}, 422),
    ],
)
def test_who_may_not_ask_is_refused_alike(
    ambit: Installation, asked: dict[str, str], changed: dict[str, str], status: int
) -> None:
    assert alike(ambit, GOOD, {**asked, **changed}).status_code == status


def test_a_key_that_may_not_search_and_a_search_for_nobody(ambit: Installation, asked: dict[str, str]) -> None:
    assert alike(ambit, GOOD, {**asked, "Authorization": f"Bearer {ambit.keys['feeder']}"}).status_code == 403
    without = {name: value for name, value in asked.items() if name != "X-Ambit-User"}
    assert alike(ambit, GOOD, without).status_code == 422


def test_a_body_in_pieces_and_one_that_is_too_large(ambit: Installation, asked: dict[str, str]) -> None:
    def pieces(*parts: bytes) -> Iterator[bytes]:
        yield from parts

    def sent(*parts: bytes) -> httpx.Response:
        return ambit.client.post("/v1/retrieve", content=pieces(*parts), headers={**asked, **SHORT})

    assert [one["title"] for one in sent(GOOD[:9], GOOD[9:20], GOOD[20:]).json()["results"]] == ["Leave"]
    assert sent(GOOD[:9], b"").status_code == 422
    too_large = b'{"query": "' + b"a" * (3 << 20) + b'"}'
    assert sent(too_large[: 2 << 20], too_large[2 << 20 :]).status_code == 413
    assert alike(ambit, too_large, asked).status_code == 413


def test_a_failure_inside_is_told_alike(
    ambit: Installation, asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("parental leave")

    monkeypatch.setattr(ambit.runtime.retriever, "retrieve", fails)
    answer = alike(ambit, GOOD, asked)
    assert answer.status_code == 500
    assert "parental" not in answer.text
