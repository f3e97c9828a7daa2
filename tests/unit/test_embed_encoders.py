"""Finding models, holding them to their references, and taking turns."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from core.errors import SettingError
from core.settings import Settings
from embed.encoders.base import Vectors
from embed.encoders.factory import make_encoder
from embed.encoders.files import BUNDLED, find_model
from embed.encoders.tokenizer import FastTokenizer
from embed.encoders.torch import TorchEncoder
from embed.encoders.turns import TurnLock
from embed.encoders.verify import EncoderMismatchError, verify


@pytest.mark.parametrize("model", [BUNDLED, f"sentence-transformers/{BUNDLED}"])
def test_the_bundled_model_is_found_by_name(model: str) -> None:
    files = find_model(model)
    assert (files.name, files.dimension, files.max_tokens) == (BUNDLED, 384, 256)
    assert (files.query_prompt, files.passage_prompt) == ("", "")


def test_an_unknown_model_says_where_it_was_looked_for() -> None:
    with pytest.raises(SettingError, match=r"folder of that name.*bundled.*local Hugging Face cache"):
        make_encoder(Settings(encoder="no-such-model-anywhere"))


def copy_model(folder: Path) -> Path:
    target = folder / "own-model"
    shutil.copytree(find_model(BUNDLED).folder, target)
    return target


def test_a_folder_is_a_model_with_its_prompts(tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    prompts = {"prompts": {"query": "query: ", "passage": "passage: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts), "utf-8")
    encoder = TorchEncoder(find_model(str(folder)), threads=1, bf16=False)
    assert encoder.name == "own-model"
    plain = TorchEncoder(find_model(BUNDLED), threads=1, bf16=False)
    assert np.dot(encoder.encode_query("pumps"), plain.encode_query("query: pumps")) >= 0.9999
    assert np.dot(encoder.encode_passages(["pumps"])[0], plain.encode_passages(["passage: pumps"])[0]) >= 0.9999
    assert np.dot(encoder.encode_query("pumps"), plain.encode_query("pumps")) < 0.99


def test_a_model_that_cannot_be_run_directly_goes_through_its_library(tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    pooling = folder / "1_Pooling" / "config.json"
    values = {
        **json.loads(pooling.read_text("utf-8")),
        "pooling_mode_mean_tokens": False,
        "pooling_mode_max_tokens": True,
    }
    pooling.write_text(json.dumps(values), "utf-8")
    encoder = TorchEncoder(find_model(str(folder)), threads=1, bf16=False)
    texts = ["One sentence.", "Another, somewhat longer sentence about pumps.", "x"]
    vectors = encoder.encode_passages(texts)
    assert encoder._feeder is None
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert np.dot(vectors[1], encoder.encode_query(texts[1])) >= 0.9999


def test_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[", "utf-8")
    files = find_model(str(tmp_path))
    with pytest.raises(SettingError, match=r"modules\.json is not JSON"):
        _ = files.dimension
    with pytest.raises(SettingError, match=r"no tokenizer\.json"):
        _ = files.tokenizer
    (tmp_path / "modules.json").write_text("[]", "utf-8")
    with pytest.raises(SettingError, match="length of its vectors"):
        _ = find_model(str(tmp_path)).dimension


class Fake:
    """An encoder that answers with what it was given."""

    tag = "all-MiniLM-L6-v2/fake"
    max_tokens = 256

    def __init__(self, name: str, vectors: Vectors) -> None:
        self.name = name
        self.dimension = vectors.shape[1]
        self._vectors = vectors

    @property
    def tokenizer(self) -> FastTokenizer:
        raise NotImplementedError

    def warm_up(self) -> None:
        pass

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self._vectors

    def encode_query(self, text: str) -> Vectors:
        first: Vectors = self._vectors[0]
        return first


def references() -> Vectors:
    path = Path(verify.__code__.co_filename).with_name("reference.json")
    vectors = np.asarray(json.loads(path.read_text("utf-8"))[BUNDLED]["vectors"], np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def test_the_references_agree_with_themselves() -> None:
    assert verify(Fake(BUNDLED, references())) == pytest.approx(1.0, abs=1e-5)
    assert verify(Fake("a-model-of-ones-own", references())) is None


def test_vectors_elsewhere_are_refused() -> None:
    with pytest.raises(EncoderMismatchError, match=r"agrees .* only to"):
        verify(Fake(BUNDLED, references()[::-1]))
    with pytest.raises(EncoderMismatchError, match="only to nan"):
        verify(Fake(BUNDLED, np.full_like(references(), np.nan)))
    with pytest.raises(EncoderMismatchError, match="383 numbers"):
        verify(Fake(BUNDLED, references()[:, :-1]))


def test_turns_are_served_in_order_of_arrival() -> None:
    turn, order = TurnLock(), list[int]()

    def work(number: int) -> None:
        with turn:
            order.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    with turn:
        for waiting, thread in enumerate(threads, 1):
            thread.start()
            while len(turn._waiting) < waiting:
                thread.join(0.001)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
    with turn:
        assert order == [0, 1, 2, 3, 4]
