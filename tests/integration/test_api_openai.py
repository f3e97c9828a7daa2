"""OpenAI's own client against the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.integration.conftest import Installation
from tests.integration.test_api_query import HOTEL

QUESTION = [{"role": "user", "content": "What may a hotel night cost?"}]


@pytest.fixture
def client(ambit: Installation) -> Iterator[openai.OpenAI]:
    ambit.push("hotel", HOTEL, title="Travel rules")
    headers = {"X-Ambit-User": "ana"}
    with openai.OpenAI(
        base_url=f"{ambit.url}/v1", api_key=ambit.keys["chat"], default_headers=headers, max_retries=0
    ) as made:
        yield made


def _ask(client: openai.OpenAI, **body: Any) -> Any:
    return client.chat.completions.create(**{"model": "default", "messages": QUESTION, **body})


def test_models(client: openai.OpenAI) -> None:
    assert {one.id for one in client.models.list()} >= {"default", "extractive"}


def test_a_completion(client: openai.OpenAI) -> None:
    answer = _ask(client, seed=7, presence_penalty=0.5, extra_body={"unknown": 1})
    assert "140 euro" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.ambit["citations"][0]["title"] == "Travel rules"


def test_parts_and_history(client: openai.OpenAI) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [{"type": "text", "text": "What may a hotel"}, {"type": "text", "text": "cost?"}]},
    ]
    assert "140 euro" in _ask(client, messages=messages).choices[0].message.content


def test_a_stream(client: openai.OpenAI) -> None:
    chunks = list(_ask(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert "140 euro" in text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].ambit["citations"][0]["title"] == "Travel rules"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert len({one.id for one in chunks}) == 1
    assert all(one.usage is None for one in _ask(client, stream=True))


def test_the_header_wins_over_the_body(ambit: Installation, client: openai.OpenAI) -> None:
    assert "140 euro" in _ask(client, user="eve").choices[0].message.content
    plain = client.with_options(default_headers={}).copy(set_default_headers={})
    assert "140" not in _ask(plain, user="eve").choices[0].message.content
    assert "140 euro" in _ask(plain, user="bob").choices[0].message.content
    with pytest.raises(openai.UnprocessableEntityError):
        _ask(plain)


def test_errors_reach_the_client_in_its_own_words(ambit: Installation, client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as wrong:
        _ask(client.with_options(api_key="wrong"))
    assert wrong.value.code == "unauthenticated"
    with pytest.raises(openai.NotFoundError) as missing:
        _ask(client, model="gpt-none")
    assert "gpt-none" in missing.value.message
    for body in ({"n": 2}, {"tools": [{"type": "function", "function": {"name": "f"}}]}):
        with pytest.raises(openai.BadRequestError) as refused:
            _ask(client, **body)
        assert refused.value.code == "unsupported"
    for messages in ([{"role": "assistant", "content": "x"}], [{"role": "user", "content": [{"type": "image_url"}]}]):
        with pytest.raises(openai.UnprocessableEntityError):
            _ask(client, messages=messages)
    with pytest.raises(openai.PermissionDeniedError):
        _ask(client, extra_headers={"X-Ambit-User": "nobody"})
