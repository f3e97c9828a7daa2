"""What every encoder must do, run against each backend and precision this machine has."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from embed.encoders.base import Encoder, Vectors
from embed.encoders.batches import BATCH
from embed.encoders.files import BUNDLED, find_model
from embed.encoders.llama import LlamaIndexEncoder
from embed.encoders.openai import OpenAiEncoder
from embed.encoders.openvino import OpenVinoEncoder
from embed.encoders.spec import EncoderSpec
from embed.encoders.torch import TorchEncoder
from embed.encoders.verify import verify
from tests.factories.embeddings_server import embeddings_server

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "naughty_strings.json"
JUNK = [
    "",
    " ",
    "\x00\x01",
    "\ud800 lone surrogate",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "مرحبا بالعالم",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
    "\u202etest\u202e",
    "[CLS] [SEP] [PAD] [MASK]",
    "<script>alert(1)</script>",
    "a" * 5000,
    "\n\t\r" * 50,
]
SENTENCES = [
    "Employees receive twenty-five days of paid leave a year.",
    "The pump's vibration rose above 7.1 mm/s, so the plant was stopped for inspection at once by the shift lead.",
    "No.",
    "Payment is due thirty days after the invoice date, unless the contract says otherwise in its second annex.",
    "What is the notice period for suppliers?",
]


@pytest.fixture(scope="module", params=["torch-fp32", "torch-bf16", "openvino", "openai", "llamaindex"])
def encoder(request: pytest.FixtureRequest, encoder_cache: Path) -> Iterator[Encoder]:
    with opened(request.param, encoder_cache) as made:
        made.warm_up()
        yield made


@contextmanager
def opened(kind: str, cache: Path) -> Iterator[Encoder]:
    files = find_model(BUNDLED)
    if kind == "openvino":
        yield OpenVinoEncoder(files, cache, threads=1)
    elif kind == "openai":
        with embeddings_server(TorchEncoder(files, threads=1).encode_passages, BUNDLED) as server:
            spec = EncoderSpec.parse(f"openai:{BUNDLED}?max_tokens=256")
            yield OpenAiEncoder(spec, url=server.url, key=server.key)
    elif kind == "llamaindex":
        path = "tests.factories.llama_embedding.MiniLmEmbedding"
        yield LlamaIndexEncoder(EncoderSpec.parse(f"llamaindex:{path}?max_tokens=256&model={BUNDLED}"))
    else:
        yield TorchEncoder(files, threads=1, bf16=kind == "torch-bf16")


def junk() -> list[str]:
    return [*JUNK, *json.loads(SHARED.read_text("utf-8"))] if SHARED.is_file() else JUNK


def cosines(left: Vectors, right: Vectors) -> Vectors:
    found: Vectors = np.sum(left * right, axis=-1)
    return found


def test_it_agrees_with_the_reference_vectors(encoder: Encoder) -> None:
    lowest = verify(encoder)
    assert lowest is not None
    assert lowest >= (0.996 if "int8" in encoder.tag else 0.999)


def test_shape_type_and_length(encoder: Encoder) -> None:
    vectors = encoder.encode_passages(SENTENCES)
    assert vectors.shape == (len(SENTENCES), encoder.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(SENTENCES)), abs=1e-5)
    query = encoder.encode_query("notice period")
    assert query.shape == (encoder.dimension,)
    assert query.dtype == np.float32
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)


def test_no_texts_make_no_vectors(encoder: Encoder) -> None:
    vectors = encoder.encode_passages([])
    assert vectors.shape == (0, encoder.dimension)
    assert vectors.dtype == np.float32


def test_the_callers_order_is_kept(encoder: Encoder) -> None:
    texts = [f"{SENTENCES[number % 5]} {'word ' * (number * 7 % 23)}{number}" for number in range(3 * BATCH + 1)]
    together = encoder.encode_passages(texts)
    backwards = encoder.encode_passages(texts[::-1])[::-1]
    assert cosines(together, backwards).min() >= 0.9999
    nearest = (together @ backwards.T).argmax(axis=1)
    assert nearest.tolist() == list(range(len(texts)))


def test_a_vector_does_not_depend_on_its_batch(encoder: Encoder) -> None:
    alone = np.concatenate([encoder.encode_passages([text]) for text in SENTENCES])
    padded = encoder.encode_passages([*SENTENCES, "filler " * 240, "more " * 100])[: len(SENTENCES)]
    assert cosines(alone, padded).min() >= 0.9999


def test_the_same_text_twice_is_the_same_vector(encoder: Encoder) -> None:
    first, second = encoder.encode_passages([SENTENCES[0]]), encoder.encode_passages([SENTENCES[0]])
    assert np.array_equal(first, second)


def test_what_lies_beyond_the_limit_is_not_read(encoder: Encoder) -> None:
    long = "pressure " * (encoder.max_tokens + 50)
    vectors = encoder.encode_passages([long, long + "and something else entirely about cats"])
    assert cosines(vectors[0], vectors[1]) >= 0.99999
    short = encoder.encode_passages(["pressure " * 3, "pressure " * 3 + "and something else entirely about cats"])
    assert cosines(short[0], short[1]) < 0.95


def test_junk_makes_finite_unit_vectors(encoder: Encoder) -> None:
    texts = junk()
    vectors = encoder.encode_passages(texts)
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)


def test_a_query_is_near_the_passage_that_answers_it(encoder: Encoder) -> None:
    scores = encoder.encode_passages(SENTENCES[:4]) @ encoder.encode_query("How many holidays do staff get?")
    assert scores.argmax() == 0


def test_threads_get_their_own_vectors(encoder: Encoder) -> None:
    expected = encoder.encode_passages(SENTENCES)
    found: dict[int, Vectors] = {}

    def work(number: int) -> None:
        turned = SENTENCES[number:] + SENTENCES[:number]
        found[number] = np.roll(encoder.encode_passages(turned * 3)[: len(turned)], number, axis=0)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2, 3]
    assert min(cosines(vectors, expected).min() for vectors in found.values()) >= 0.9999


def test_queries_of_many_threads_get_their_own_vectors(encoder: Encoder) -> None:
    asked = [f"{SENTENCES[number % 5]} {number}" for number in range(24)]
    alone = np.stack([encoder.encode_query(text) for text in asked])
    with ThreadPoolExecutor(12) as pool:
        together = np.stack(list(pool.map(encoder.encode_query, asked)))
    assert cosines(alone, together).min() >= 0.9999


def test_name_and_tag(encoder: Encoder) -> None:
    assert encoder.name == "all-MiniLM-L6-v2"
    backends = {
        *("torch-fp32", "torch-bf16", "openvino-int8-bf16", "openvino-int8-fp32"),
        *("openai", "llamaindex-MiniLmEmbedding"),
    }
    assert encoder.tag.removeprefix("all-MiniLM-L6-v2/") in backends
    assert encoder.max_tokens == 256


def test_the_tokenizer_agrees_with_the_models_own(encoder: Encoder) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(str(find_model(BUNDLED).folder))
    texts = [text for text in junk() if "\ud800" not in text] + SENTENCES
    expected = [len(own(text, add_special_tokens=False, truncation=False)["input_ids"]) for text in texts]
    assert encoder.tokenizer.count(texts) == expected


def test_offsets_cut_the_text_they_count(encoder: Encoder) -> None:
    text = "The naïve \ud800 pump's vibration 👩‍👩‍👧 rose above 7.1 mm/s."
    offsets = encoder.tokenizer.offsets(text)
    assert len(offsets) == encoder.tokenizer.count([text])[0]
    assert [text[start:end] for start, end in offsets][:2] == ["The", "naïve"]
    assert text[slice(*offsets[-1])] == "."
    assert all(0 <= start <= end <= len(text) for start, end in offsets)
    assert offsets == sorted(offsets)


def test_counts_go_beyond_what_the_model_reads(encoder: Encoder) -> None:
    assert encoder.tokenizer.count(["word " * 1000, ""]) == [1000, 0]
    assert encoder.tokenizer.count([]) == []
