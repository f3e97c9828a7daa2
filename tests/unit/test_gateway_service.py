"""Choosing, limiting and falling back between models, with scripted ones in place of providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.errors import InvalidError, NotFoundError
from gateway.config import EXTRACTIVE, GatewayConfig, RouteSpec
from gateway.model import Completion, Delta, ModelCall, ModelError, ModelSpec, Usage
from gateway.service import Gateway

LABELS = ["public", "internal", "confidential", "restricted"]
ONE, TWO = ModelSpec("one", "x.One"), ModelSpec("two", "x.Two")
CALL = ModelCall("Q?", [], [])


class Scripted:
    """A model that plays its script: text is an answer, an error is raised; the last entry repeats."""

    def __init__(self, *script: str | ModelError) -> None:
        self.script = list(script)
        self.calls = 0

    def complete(self, call: ModelCall) -> Completion:
        self.calls += 1
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, ModelError):
            raise step
        return Completion(step)

    async def stream(self, call: ModelCall) -> AsyncIterator[Delta]:
        self.calls += 1
        for step in self.script:
            if isinstance(step, ModelError):
                raise step
            yield Delta(step)
        yield Delta(usage=Usage())


def gateway_with(monkeypatch: pytest.MonkeyPatch, models: dict[str, Scripted], **options: Any) -> Gateway:
    config = GatewayConfig({"one": ONE, "two": TWO}, {"default": RouteSpec("default", ("one", "gone", "two"))})
    gateway = Gateway(lambda: config, secrets=str, **options)
    monkeypatch.setattr(gateway, "_build", lambda spec: models[spec.key])
    return gateway


def keys(specs: list[ModelSpec]) -> list[str]:
    return [spec.key for spec in specs]


def test_without_configuration_the_default_is_extractive() -> None:
    gateway = Gateway(GatewayConfig, secrets=str)
    assert gateway.candidates(None, None, allowed=None) == [EXTRACTIVE]
    assert gateway.candidates("default", None, allowed=None) == [EXTRACTIVE]
    assert gateway.complete(EXTRACTIVE, CALL).text.startswith("The passages I may use")


def test_candidates_follow_route_model_and_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = gateway_with(monkeypatch, {})
    assert keys(gateway.candidates(None, None, allowed=None)) == ["one", "two"]
    assert keys(gateway.candidates(None, "two", allowed=None)) == ["two"]
    assert keys(gateway.candidates(None, "default", allowed={"two"})) == ["two"]
    assert keys(gateway.candidates(None, "extractive", allowed=None)) == ["extractive"]
    with pytest.raises(InvalidError):
        gateway.candidates("default", "one", allowed=None)


def test_what_the_app_may_not_use_looks_like_what_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = gateway_with(monkeypatch, {})
    details = []
    for name, allowed in (("one", ["two"]), ("nope", None), ("default", [])):
        with pytest.raises(NotFoundError) as raised:
            gateway.candidates(None, name, allowed=allowed)
        details.append(raised.value.detail.replace(name, "X"))
    assert len(set(details)) == 1
    with pytest.raises(NotFoundError):
        gateway.candidates("one", None, allowed=None)


def test_a_changed_configuration_holds_at_the_next_request() -> None:
    held = [GatewayConfig(), GatewayConfig({"one": ONE})]
    gateway = Gateway(lambda: held[0], secrets=str)
    with pytest.raises(NotFoundError):
        gateway.candidates(None, "one", allowed=None)
    held.pop(0)
    assert keys(gateway.candidates(None, "one", allowed=None)) == ["one"]


def test_an_instance_lives_as_long_as_its_declaration() -> None:
    gateway = Gateway(GatewayConfig, secrets=str)
    first = gateway._model(ONE)
    assert gateway._model(ModelSpec("one", "x.One", price_input=9.0)) == first
    changed = gateway._model(ModelSpec("one", "x.One", {"model": "b"}))
    assert changed[0] is not first[0]
    assert changed[1] is not first[1]


@pytest.mark.parametrize(
    ("spec", "may"),
    [
        (EXTRACTIVE, LABELS),
        (ModelSpec("extractive", "extractive", max_classification="internal"), LABELS[:2]),
        (ModelSpec("m", "x.Y", max_classification="confidential"), LABELS[:3]),
        (ModelSpec("m", "x.Y"), LABELS[:1]),
        (ModelSpec("m", "x.Y", hosting="internal"), LABELS[:1]),
        (ModelSpec("m", "x.Y", max_classification="renamed"), []),
    ],
)
def test_labels_a_model_may_receive(spec: ModelSpec, may: list[str]) -> None:
    gateway = Gateway(GatewayConfig, secrets=str)
    assert [label for label in LABELS if gateway.may_receive(spec, label, LABELS)] == may
    if spec is not EXTRACTIVE:
        assert not gateway.may_receive(spec, "unheard-of", LABELS)
        assert not gateway.may_receive(spec, "public", [])


def test_fallback_names_who_answered_and_builds_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = gateway_with(monkeypatch, {"one": Scripted(ModelError("no")), "two": Scripted("yes")})
    built: list[str] = []

    def build(spec: ModelSpec) -> ModelCall:
        built.append(spec.key)
        return CALL

    spec, completion = gateway.answer_with_fallback([ONE, TWO], build)
    assert (spec, completion.text, built) == (TWO, "yes", ["one", "two"])


def test_all_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"one": Scripted(ModelError("first down.")), "two": Scripted(ModelError("second down."))}
    gateway = gateway_with(monkeypatch, models)
    with pytest.raises(ModelError, match=r"first down\. second down\.") as raised:
        gateway.answer_with_fallback([ONE, TWO], lambda _: CALL)
    assert raised.value.extra["models"] == ["one", "two"]
    with pytest.raises(ModelError, match="No model answered"):
        gateway.answer_with_fallback([], lambda _: CALL)


def test_the_breaker_opens_tries_once_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    model = Scripted(ModelError("a"), ModelError("b"), ModelError("c"), "well again")
    gateway = gateway_with(
        monkeypatch, {"one": model}, breaker_failures=2, breaker_s=10.0, clock=lambda: now[0]
    )  # fmt: skip
    for _ in range(3):
        with pytest.raises(ModelError):
            gateway.complete(ONE, CALL)
    assert model.calls == 2
    now[0] = 10.0
    with pytest.raises(ModelError, match="c"):
        gateway.complete(ONE, CALL)
    with pytest.raises(ModelError, match="rests"):
        gateway.complete(ONE, CALL)
    now[0] = 20.0
    assert gateway.complete(ONE, CALL).text == "well again"
    assert gateway.complete(ONE, CALL).text == "well again"
    assert model.calls == 5


def test_a_callers_bad_requests_do_not_open_the_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted(ModelError("too long", status=400))
    gateway = gateway_with(monkeypatch, {"one": model}, breaker_failures=1)
    for _ in range(3):
        with pytest.raises(ModelError, match="too long"):
            gateway.complete(ONE, CALL)
    assert model.calls == 3


@pytest.mark.parametrize(
    ("script", "expected", "fails"),
    [
        ((ModelError("no"),), [("two", "b"), ("two", "")], False),
        (("a", ModelError("cut")), [("one", "a")], True),
        (("a",), [("one", "a"), ("one", "")], False),
    ],
)
def test_streams_fall_back_only_before_the_first_piece(
    monkeypatch: pytest.MonkeyPatch, script: tuple[Any, ...], expected: list[tuple[str, str]], fails: bool
) -> None:
    gateway = gateway_with(monkeypatch, {"one": Scripted(*script), "two": Scripted("b")})
    seen: list[tuple[str, str]] = []

    async def run() -> bool:
        try:
            async for spec, delta in gateway.stream_with_fallback([ONE, TWO], lambda _: CALL):
                seen.append((spec.key, delta.text))
        except ModelError:
            return True
        return False

    assert asyncio.run(run()) is fails
    assert seen == expected
