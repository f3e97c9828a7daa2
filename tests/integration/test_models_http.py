"""LlamaIndex's OpenAILike through the gateway against a real HTTP server."""

from __future__ import annotations

import asyncio
import gc
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from gateway.config import EXTRACTIVE, GatewayConfig, RouteSpec
from gateway.llama import ModelUnusableError
from gateway.model import Delta, Evidence, Message, ModelCall, ModelError, ModelSpec, Usage
from gateway.service import Gateway
from tests.factories.openai_server import OpenAIServer, Reply, openai_server

KEY = "sk-very-secret-canary"
PROMPT = "prompt-canary: who pages whom?"
CLASS = "llama_index.llms.openai_like.OpenAILike"
LABELS = ["public", "internal", "confidential", "restricted"]


def spec_of(server: OpenAIServer, key: str = "local", **more: Any) -> ModelSpec:
    arguments = {"api_base": server.url, "model": "scripted", "api_key": {"secret": "LOCAL_KEY"}}
    return ModelSpec(key, CLASS, {**arguments, **more.pop("arguments", {})}, **more)


def gateway_of(*specs: ModelSpec, timeout_s: float = 20.0, secrets: Callable[[str], str] | None = None) -> Gateway:
    config = GatewayConfig(
        {spec.key: spec for spec in specs}, {"default": RouteSpec("default", tuple(s.key for s in specs))}
    )
    return Gateway(lambda: config, secrets=secrets or {"LOCAL_KEY": KEY}.__getitem__, timeout_s=timeout_s)


def call_of(*evidence: Evidence) -> ModelCall:
    return ModelCall("Who?", evidence, [Message("system", "Rules."), Message("user", PROMPT)], max_tokens=50)


def streamed(gateway: Gateway, *specs: ModelSpec) -> tuple[list[tuple[str, Delta]], ModelError | None]:
    """Every delta with its model's key, and the error that ended them."""
    seen: list[tuple[str, Delta]] = []

    async def run() -> ModelError | None:
        try:
            async for spec, delta in gateway.stream_with_fallback(specs, lambda _: call_of()):
                seen.append((spec.key, delta))
        except ModelError as error:
            return error
        return None

    error = asyncio.run(run())
    gc.collect()
    return seen, error


def test_answer_carries_text_usage_and_our_messages() -> None:
    with openai_server(Reply("Ana does. [1]")) as server:
        spec = spec_of(server)
        completion = gateway_of(spec).complete(spec, call_of())
    assert completion.text == "Ana does. [1]"
    assert completion.usage == Usage(11, 7)
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert [turn["role"] for turn in request["messages"]] == ["system", "user"]
    assert request["max_tokens"] == 50
    assert server.keys == [f"Bearer {KEY}"]


def test_usage_is_estimated_where_the_provider_is_silent() -> None:
    with openai_server(Reply("12345678", usage=False)) as server:
        spec = spec_of(server)
        usage = gateway_of(spec).complete(spec, call_of()).usage
    assert usage == Usage(-(-len("Rules." + PROMPT) // 4), 2, estimated=True)


def test_stream_yields_pieces_then_usage() -> None:
    with openai_server(Reply(pieces=["Ana ", "do", "es."])) as server:
        spec = spec_of(server)
        seen, error = streamed(gateway_of(spec), spec)
    assert error is None
    assert [delta.text for _, delta in seen] == ["Ana ", "do", "es.", ""]
    assert seen[-1][1].usage == Usage(11, 7)


def test_a_second_event_loop_streams_too() -> None:
    with openai_server(Reply("Yes.")) as server:
        spec = spec_of(server)
        gateway = gateway_of(spec)
        for _ in range(2):
            seen, error = streamed(gateway, spec)
            assert error is None
            assert seen[0][1].text == "Yes. "


def test_500_falls_back_to_the_second_model_without_a_retry() -> None:
    with openai_server(Reply(status=500)) as broken, openai_server(Reply("From two.")) as good:
        one, two = spec_of(broken, "one"), spec_of(good, "two")
        gateway = gateway_of(one, two)
        specs = gateway.candidates(None, None, allowed=None)
        spec, completion = gateway.answer_with_fallback(specs, lambda _: call_of())
        seen, error = streamed(gateway, one, two)
    assert (spec.key, completion.text) == ("two", "From two.")
    assert error is None
    assert {key for key, _ in seen} == {"two"}
    assert len(broken.requests) == 2


@pytest.mark.parametrize("status", [401, 429, 500])
def test_errors_hold_neither_key_nor_prompt(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with openai_server(Reply(status=status)) as server:
        spec = spec_of(server)
        gateway = gateway_of(spec)
        with pytest.raises(ModelError) as raised:
            gateway.complete(spec, call_of())
        _, error = streamed(gateway, spec)
    assert error is not None
    assert len(server.requests) == 2
    for each in (raised.value, error):
        shown = "".join(traceback.format_exception(each)) + repr(each.extra) + caplog.text
        assert str(status) in each.detail
        assert KEY not in shown
        assert "prompt-canary" not in shown
        assert each.__context__ is None


def test_a_silent_provider_passes_the_deadline() -> None:
    with openai_server(Reply(hang=True)) as server:
        spec = spec_of(server)
        gateway = gateway_of(spec, timeout_s=0.3)
        with pytest.raises(ModelError, match="deadline"):
            gateway.complete(spec, call_of())
        _, error = streamed(gateway, spec)
    assert error is not None
    assert "deadline" in error.detail


@pytest.mark.parametrize(
    "reply",
    [Reply("a b c", drop_after=2), Reply("a b c", cut_after=2), Reply("a b c", hang_after=2)],
    ids=["dropped", "ended early", "hung"],
)
def test_a_stream_broken_in_the_middle_is_an_error_and_no_fallback(reply: Reply) -> None:
    with openai_server(reply) as broken, openai_server(Reply("other")) as good:
        one, two = spec_of(broken, "one"), spec_of(good, "two")
        seen, error = streamed(gateway_of(one, two, timeout_s=3.0), one, two)
    assert [delta.text for _, delta in seen] == ["a ", "b "]
    assert error is not None
    assert not good.requests


@pytest.mark.parametrize("reply", [Reply(garbage=True), Reply("")], ids=["garbage", "empty"])
def test_garbage_and_emptiness_are_failures(reply: Reply) -> None:
    with openai_server(reply) as server:
        spec = spec_of(server)
        gateway = gateway_of(spec)
        with pytest.raises(ModelError, match="'local' did not answer"):
            gateway.complete(spec, call_of())
        seen, error = streamed(gateway, spec)
    assert seen == []
    assert error is not None


def test_a_rotated_secret_holds_at_the_next_call() -> None:
    held = {"LOCAL_KEY": "first"}
    with openai_server(Reply("x")) as server:
        spec = spec_of(server)
        gateway = gateway_of(spec, secrets=lambda name: held[name])
        gateway.complete(spec, call_of())
        held["LOCAL_KEY"] = "second"
        gateway.complete(spec, call_of())
    assert server.keys == ["Bearer first", "Bearer second"]


def test_nothing_above_its_classification_reaches_a_provider() -> None:
    passages = {"public": Evidence(1, "A", "public-text"), "restricted": Evidence(2, "B", "restricted-canary")}

    def build(spec: ModelSpec) -> ModelCall:
        sent = [each for label, each in passages.items() if gateway.may_receive(spec, label, LABELS)]
        return ModelCall("Q?", sent, [Message("user", " ".join(each.text for each in sent))])

    with openai_server(Reply("x")) as server:
        spec = spec_of(server, max_classification="internal")
        gateway = gateway_of(spec)
        gateway.answer_with_fallback([spec], build)
    assert server.requests[0]["messages"][0]["content"] == "public-text"
    assert len(build(EXTRACTIVE).evidence) == 2


def test_a_class_that_is_no_llm_and_one_that_is_missing() -> None:
    gateway = gateway_of()
    with pytest.raises(ModelUnusableError, match="not a LlamaIndex LLM class"):
        gateway.complete(ModelSpec("m", "pathlib.Path"), call_of())
    with pytest.raises(ModelUnusableError, match=r"pip install 'ambit\[llm\]'"):
        gateway.complete(ModelSpec("m", "llama_index.llms.nowhere.Model"), call_of())


def test_a_refused_argument_is_named_without_its_value() -> None:
    with openai_server() as server:
        spec = spec_of(server, arguments={"temperature": "canary-value"})
        with pytest.raises(ModelUnusableError, match="temperature") as raised:
            gateway_of(spec).complete(spec, call_of())
        missing = spec_of(server, arguments={"api_key": {"secret": "NONE"}})
        with pytest.raises(ModelUnusableError, match="secret"):
            gateway_of(missing).complete(missing, call_of())
    assert "canary-value" not in "".join(traceback.format_exception(raised.value))
    assert not server.requests
