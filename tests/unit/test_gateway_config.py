"""Bodies of Model and Route."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidError
from gateway.config import EXTRACTIVE, GatewayConfig, RouteSpec, check_references, parse_model, parse_route
from gateway.model import ModelSpec

BODY: dict[str, Any] = {
    "class": "llama_index.llms.openai_like.OpenAILike",
    "arguments": {"api_base": "http://127.0.0.1:8000/v1", "api_key": {"secret": "LOCAL_KEY"}},
    "hosting": "internal",
    "max_classification": "restricted",
    "price": {"input": 0.2, "output": 0.6},
}


def test_the_documented_shape() -> None:
    spec = parse_model("local", BODY)
    assert spec == ModelSpec(
        "local", BODY["class"], BODY["arguments"], "internal", None, "restricted", 0.2, 0.6, context_tokens=8192
    )
    assert parse_route("default", {"models": ["local", "extractive"]}) == RouteSpec("default", ("local", "extractive"))


def test_hosting_is_external_until_stated() -> None:
    assert parse_model("m", {"class": "a.B"}).hosting == "external"
    assert parse_model("m", {"class": "extractive"}).hosting == "internal"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max_clasification": "x"}, "'max_clasification': unknown key"),
        ({"price": {"inptu": 1}}, "'price.inptu': unknown key"),
        ({"price": {"input": -1}}, "'price.input'"),
        ({"hosting": "moon"}, "'hosting'"),
        ({"class": "no path"}, "'class'"),
        ({"arguments": {"api_key": {"secret": "A", "or": "canary"}}}, "secret: NAME"),
        ({"arguments": {"headers": [{"secret": 7}]}}, "secret: NAME"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidError) as raised:
        parse_model("local", {**BODY, **change})
    assert named in raised.value.detail
    assert "canary" not in str(raised.value.extra) + raised.value.detail


def test_the_built_in_name_is_taken() -> None:
    with pytest.raises(InvalidError, match="built in"):
        parse_model("extractive", BODY)


@pytest.mark.parametrize("body", [{}, {"models": []}, {"models": ["a", "a"]}, {"models": ["A b"]}, {"model": "a"}])
def test_wrong_routes(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        parse_route("r", body)


def test_conditions_are_refused_plainly() -> None:
    with pytest.raises(InvalidError, match="not supported yet"):
        parse_route("r", {"models": ["a"], "when": "true"})


def test_references() -> None:
    good = GatewayConfig({}, {"default": RouteSpec("default", (EXTRACTIVE.key,))})
    check_references(good)
    with pytest.raises(InvalidError, match="'nobody'"):
        check_references(GatewayConfig({}, {"r": RouteSpec("r", ("nobody",))}))
