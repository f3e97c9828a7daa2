"""Bad searches over HTTP are told what is wrong; options and earlier turns reach retrieval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from embed.encoders.base import Encoder, Vectors
from tests.integration.conftest import Installation

LEAVE = "# Leave\n\nParental leave lasts sixteen weeks."


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": "\x00\x1b"}, "query"),
        ({"query": "\u200b \ufeff\u2060"}, "query"),
        ({"query": "a" * 100_000}, "query"),
        ({"query": "a", "top_k": 10_000}, "top_k"),
        ({"query": "a", "filters": {"colour": ["red"]}}, "filters.colour"),
        ({"query": "a", "filters": {"facets": {"colour": ["red"]}}}, "filters.facets.colour"),
        ({"query": "a", "filters": {"labels": {"colour": ["red"]}}}, "filters.labels.colour"),
        (
            {
                "query": "a",
                "filters": {"modified_from": "2022-01-01T00:00:00Z", "modified_until": "2021-01-01T00:00:00Z"},
            },
            "filters.modified_until",
        ),
        ({"query": "a", "options": {"per_document": 0}}, "options.per_document"),
        ({"query": "a", "options": {"neighbour_tokens": -1}}, "options.neighbour_tokens"),
        ({"query": "a", "options": {"recency_days": 0}}, "options.recency_days"),
        ({"query": "a", "options": {"collapse": "all"}}, "options.collapse"),
        ({"query": "a", "options": {"unchecked": True}}, "options.unchecked"),
    ],
)
def test_a_search_that_makes_no_sense_names_its_field(ambit: Installation, body: dict[str, Any], field: str) -> None:
    answer = ambit.chat("/v1/retrieve", "ana", body)
    assert answer.status_code == 422, answer.text
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_options_earlier_turns_and_copies(ambit: Installation) -> None:
    ambit.push("one", LEAVE, title="Leave")
    ambit.push("two", LEAVE, title="Leave")
    ambit.push("three", "# Trains\n\nTravel in second class.", title="Trains")
    found = ambit.chat("/v1/retrieve", "ana", {"query": "parental leave"}).json()["results"]
    assert [one["title"] for one in found] == ["Leave", "Trains"]
    assert [one["title"] for one in found[0]["also"]] == ["Leave"]
    assert found[0]["also"][0]["document_id"] != found[0]["document_id"]
    assert "also" not in found[1]
    assert ambit.found("ana", "parental leave", options={"collapse": "off"}) == ["Leave", "Leave", "Trains"]
    history = [{"role": "user", "content": "How long is parental leave?"}, {"role": "assistant", "content": "Trains."}]
    asked = {"query": "And how is it paid?", "top_k": 1, "history": history}
    answer = ambit.chat("/v1/query", "ana", asked).json()
    assert [one["title"] for one in answer["passages"]] == ["Leave"]
    assert ambit.found("ana", asked["query"], top_k=1, history=history) == ["Leave"]
    trains = [{"role": "user", "content": "Which class is it by train, the second?"}]
    assert ambit.found("ana", asked["query"], top_k=1, history=trains) == ["Trains"]


class Failing:
    """An encoder whose queries all have one vector."""

    def __init__(self, encoder: Encoder, vector: Vectors) -> None:
        self._encoder, self._vector = encoder, vector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_query(self, text: str) -> Vectors:
        return self._vector


@pytest.mark.parametrize("vector", [np.full(384, np.nan), np.zeros(384), np.full(383, 383**-0.5)])
def test_an_encoder_that_fails_is_told_and_hides_behind_no_answer(
    ambit: Installation, encoder: Encoder, vector: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    ambit.push("one", LEAVE, title="Leave")
    monkeypatch.setitem(vars(ambit.runtime.stack), "_encoder", Failing(encoder, vector.astype(np.float32)))
    chat = {"model": "default", "messages": [{"role": "user", "content": "parental leave"}]}
    asked = {"query": "parental leave"}
    for path, body in (("/v1/retrieve", asked), ("/v1/query", asked), ("/v1/chat/completions", chat)):
        answer = ambit.chat(path, "ana", body)
        told = answer.json()
        assert (answer.status_code, told["code"]) == (502, "encoder_answer"), answer.text
        assert told["detail"].startswith("Encoder gave unusable vectors")
    monkeypatch.undo()
    assert ambit.found("ana", "parental leave") == ["Leave"]
