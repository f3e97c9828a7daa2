"""Cursors, ETags, the shapes of requests, and streams that nobody listens to."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import httpx
import pytest
from pydantic import ValidationError

from api import etags
from api.errors import PreconditionFailedError, UnsupportedError
from api.paging import read_cursor, write_cursor
from api.schemas.chat import ChatBody
from api.schemas.documents import PushBody
from api.schemas.retrieval import Filters
from api.schemas.runs import RetryBody
from api.streams import EventStream, event
from core.errors import InvalidError
from tests.factories.serving import served


@pytest.mark.parametrize("last", [0, 1, 2**62])
def test_a_cursor_comes_back(last: int) -> None:
    assert read_cursor(write_cursor(last)) == last


@pytest.mark.parametrize("cursor", ["", "é", "MTo=x", "MjoxMg", "MTotMQ", "MTphYmM", "=" * 40])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidError):
        read_cursor(cursor)


def test_an_etag_names_a_state() -> None:
    one, other = RetryBody(item="a"), RetryBody(item="b")
    assert etags.etag(one) == etags.etag(RetryBody(item="a")) != etags.etag(other)
    etags.check(one, None)
    etags.check(one, "*")
    etags.check(one, f'"x", {etags.etag(one)}')
    for view, header in ((one, etags.etag(other)), (None, "*"), (None, etags.etag(one))):
        with pytest.raises(PreconditionFailedError):
            etags.check(view, header)


@pytest.mark.parametrize(
    "change",
    [
        {"text": None},
        {"content_base64": "eA=="},
        {"text": None, "content_base64": "%%%"},
        {"id": "a\x00b"},
        {"id": ""},
        {"source": "../x"},
        {"mime": "no mime"},
        {"attributes": {"a": float("nan")}},
        {"attributes": {"a": {"deep": 1}}},
        {"modified_at": "2026-01-01T00:00:00"},
        {"modified_at": "0001-01-01T00:00:00+14:00"},
        {"tenant": 1},
    ],
)
def test_a_push_that_does_not_fit(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PushBody.model_validate({"source": "notes", "id": "a", "text": "x", **change})


def test_filters_hold_names() -> None:
    with pytest.raises(ValidationError):
        Filters(sources=["a\x00"])
    assert Filters().narrowing().sources is None


def _chat(**body: Any) -> ChatBody:
    return ChatBody.model_validate({"messages": [{"role": "user", "content": "Now?"}], **body})


def test_the_last_question_and_its_history() -> None:
    turns = [("user", "One?"), ("assistant", "One."), ("user", "Two?"), ("assistant", "started")]
    asked = _chat(messages=[{"role": role, "content": text} for role, text in turns]).request(top_k=3)
    assert (asked.question.text, asked.question.top_k) == ("Two?", 3)
    assert [(one.role, one.content) for one in asked.history] == turns[:2]


def test_what_cannot_be_ignored_is_refused() -> None:
    bodies: list[dict[str, Any]] = [{"n": 0}, {"n": 3}, {"tools": [{}]}, {"functions": [{}]}]
    for body in bodies:
        with pytest.raises(UnsupportedError):
            _chat(**body).refuse_unsupported()
    _chat(n=1, tools=[], seed=3, response_format={"type": "text"}).refuse_unsupported()


def test_an_event_is_one_block() -> None:
    assert event("delta", {"text": "a\n\nb: é"}) == 'event: delta\ndata: {"text":"a\\n\\nb: é"}\n\n'


def test_a_stream_ends_when_the_client_leaves() -> None:
    closed = threading.Event()

    async def waits() -> AsyncGenerator[str]:
        try:
            yield event("delta", {})
            await anyio.sleep_forever()
        finally:
            closed.set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventStream(waits())(scope, receive, send)

    with served(app) as url, httpx.Client() as client:
        with client.stream("GET", url) as answer:
            pieces = answer.iter_text()
            assert next(pieces).startswith("event: delta")
            assert not closed.is_set()
        assert closed.wait(30)
