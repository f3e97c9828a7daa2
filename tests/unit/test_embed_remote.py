"""Encoders behind an endpoint or a foreign class: what they are asked, and what is refused of what they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from core.errors import SettingError
from core.settings import Settings
from embed.encoders.base import Encoder
from embed.encoders.factory import make_encoder
from embed.encoders.files import BUNDLED
from embed.encoders.llama import LlamaIndexEncoder
from embed.encoders.openai import EncoderUnavailableError, OpenAiEncoder
from embed.encoders.remote import EncoderAnswerError
from embed.encoders.spec import EncoderSpec
from tests.factories.embeddings_server import EmbeddingsServer, Fault, embeddings_server
from tests.factories.encoders import DIMENSION, WordEncoder

MODEL = "words"
KEY = "right-key"
TEXTS = ["Employees receive paid leave.", "The pump is stopped.", "canary-7f3a"]
LLAMA = "llamaindex:tests.factories.llama_embedding.MiniLmEmbedding"


def words(texts: Sequence[str]) -> Any:
    return WordEncoder().encode_passages(texts)


def encoder(server: EmbeddingsServer, options: str = "", **settings: Any) -> OpenAiEncoder:
    pauses: list[float] = []
    spec = EncoderSpec.parse(f"openai:{MODEL}{options}")
    made = OpenAiEncoder(spec, url=server.url, **{"key": KEY, "pause": pauses.append, **settings})
    made.pauses = pauses  # type: ignore[attr-defined]
    return made


def test_texts_go_in_batches_and_come_back_in_order() -> None:
    with embeddings_server(words, MODEL) as server:
        found = encoder(server, "?batch=2").encode_passages(TEXTS)
        assert np.allclose(found, words(TEXTS), atol=1e-6)
        asked = [one["input"] for one in server.requests]
    assert asked[-1] == ["dimension"] or ["dimension"] in asked
    assert [TEXTS[:2], TEXTS[2:]] == [one for one in asked if one != ["dimension"]]


def test_prompts_stand_before_what_they_are_for() -> None:
    with embeddings_server(words, MODEL) as server:
        made = encoder(server, f"?query_prompt=query:%20&passage_prompt=passage:%20&dimensions={DIMENSION}")
        made.encode_query("pumps")
        made.encode_passages(["pumps"])
        assert [one["input"] for one in server.requests] == [["query: pumps"], ["passage: pumps"]]
        assert {one["dimensions"] for one in server.requests} == {DIMENSION}


def test_fewer_dimensions_are_asked_for_and_held_to() -> None:
    with embeddings_server(words, MODEL) as server:
        made = encoder(server, "?dimensions=16")
        assert made.dimension == 16
        assert made.encode_query("pumps").shape == (16,)
        server.faults.append(Fault(data={"data": [{"index": 0, "embedding": [1.0] * 64}]}))
        with pytest.raises(EncoderAnswerError, match="64 numbers, not 16"):
            made.encode_query("pumps")


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        {"data": []},
        {"data": [{"index": 1, "embedding": [1.0] * DIMENSION}]},
        {"data": [{"index": 0, "embedding": "AAAA"}]},
        {"data": [{"index": 0, "embedding": []}]},
        {"data": [{"index": 0, "embedding": [0.0] * DIMENSION}]},
        {"data": [{"index": 0, "embedding": [float("nan")] * DIMENSION}]},
        {"data": [{"index": 0, "embedding": [float("inf")] * DIMENSION}]},
        {"data": [{"index": 0, "embedding": [1.0] * (DIMENSION - 1)}]},
    ],
)
def test_what_is_no_vector_for_each_text_is_refused(data: Any) -> None:
    with embeddings_server(words, MODEL) as server:
        made = encoder(server)
        made.warm_up()
        server.faults.append(Fault(data=data))
        with pytest.raises(EncoderAnswerError):
            made.encode_passages(["canary-7f3a"])


def test_a_busy_endpoint_is_asked_again_after_what_it_says() -> None:
    with embeddings_server(words, MODEL, Fault(429, {"retry-after": "3"}), Fault(503), Fault(500)) as server:
        made = encoder(server, f"?dimensions={DIMENSION}")
        assert made.encode_query("pumps").shape == (DIMENSION,)
        first, second, third = made.pauses  # type: ignore[attr-defined]
    assert first == 3.0
    assert 0.5 <= second <= 1.0
    assert 1.0 <= third <= 2.0


def test_one_that_wants_to_be_left_alone_for_long_is() -> None:
    with embeddings_server(words, MODEL, Fault(429, {"retry-after": "900"})) as server:
        with pytest.raises(EncoderUnavailableError, match="status 429"):
            encoder(server).warm_up()
        assert len(server.requests) == 1


def test_one_that_hangs_is_given_up() -> None:
    with embeddings_server(words, MODEL, Fault(hang=True)) as server:
        with pytest.raises(EncoderUnavailableError):
            encoder(server, timeout_s=0.2).warm_up()
        assert EncoderUnavailableError.transient


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        (Fault(401), SettingError, "AMBIT_ENCODER_API_KEY"),
        (Fault(404), SettingError, "has no model 'words'"),
        (Fault(400), EncoderAnswerError, "status 400"),
        (Fault(302, {"location": "http://169.254.169.254/"}), EncoderAnswerError, "status 302"),
    ],
)
def test_a_refusal_is_told_without_the_endpoints_words(fault: Fault, error: type[Exception], told: str) -> None:
    with embeddings_server(words, MODEL, fault) as server, pytest.raises(error, match=told) as raised:
        encoder(server).encode_passages(["canary-7f3a"])
    chain = repr([raised.value, raised.value.__cause__, raised.value.__context__])
    assert "canary" not in chain
    assert KEY not in chain


def test_settings_name_the_endpoint_and_its_key() -> None:
    with embeddings_server(words, MODEL) as server:
        made = make_encoder(Settings(encoder=f"openai:{MODEL}", encoder_url=server.url, encoder_api_key=KEY))
        assert made.name == MODEL
        assert made.encode_query("pumps").shape == (DIMENSION,)
    with pytest.raises(SettingError, match="AMBIT_ENCODER_URL"):
        make_encoder(Settings(encoder=f"openai:{MODEL}"))


def test_the_key_goes_nowhere_but_to_the_endpoint() -> None:
    settings = Settings(encoder=f"openai:{MODEL}", encoder_url="http://127.0.0.1:9", encoder_api_key=KEY)
    assert KEY not in repr(settings)
    made = make_encoder(settings)
    assert KEY not in made.tag + made.name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (f"openai:{MODEL}?colour=red", "no option 'colour'"),
        (f"{BUNDLED}?dimensions=3", "no option 'dimensions'"),
        (f"openai:{MODEL}?nonsense", "name=value"),
        ("openai:", "no model"),
        (f"openai:{MODEL}?dimensions=-3", "whole number above 0"),
        ("llamaindex:no.such.Class", "not installed"),
        ("llamaindex:pathlib.Path", "no LlamaIndex embedding class"),
        (f"{LLAMA}?model={BUNDLED}&key=secret:NOWHERE", "AMBIT_SECRET_NOWHERE"),
        (f"{LLAMA}?colour=red", r"cannot be made of \['colour'\]: ValidationError"),
    ],
)
def test_a_wrong_name_says_what_is_wrong(name: str, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        make_encoder(Settings(encoder=name, encoder_url="http://127.0.0.1:9")).warm_up()


def test_a_class_gets_its_secret_and_its_words_stay_out_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMBIT_SECRET_GOOD", "right")
    monkeypatch.setenv("AMBIT_SECRET_BAD", "topsecret")
    assert llama(f"{LLAMA}?model={BUNDLED}&key=secret:GOOD").dimension == 384
    with pytest.raises(SettingError) as raised:
        llama(f"{LLAMA}?model={BUNDLED}&key=secret:BAD").warm_up()
    assert "topsecret" not in repr([raised.value, raised.value.__cause__, raised.value.__context__])


def llama(name: str) -> Encoder:
    return LlamaIndexEncoder(EncoderSpec.parse(name))


def test_a_class_treats_queries_in_its_own_way() -> None:
    made = llama(f"{LLAMA}?model={BUNDLED}&query_instruction=query:%20")
    assert made.name == BUNDLED
    assert np.dot(made.encode_query("pumps"), made.encode_passages(["query: pumps"])[0]) >= 0.9999
    assert np.dot(made.encode_query("pumps"), made.encode_passages(["pumps"])[0]) < 0.99
