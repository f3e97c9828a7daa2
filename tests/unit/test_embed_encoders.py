"""Finding models, holding them to their references, and taking turns."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest

from core.errors import SettingError
from core.gathering import Gathering
from core.settings import Settings
from embed.encoders import device
from embed.encoders.base import Vectors
from embed.encoders.batches import by_length
from embed.encoders.common import CommonEncoder
from embed.encoders.device import choose_device
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


def test_a_prompt_that_is_named_wins_over_the_models_own() -> None:
    encoder = make_encoder(Settings(encoder=f"{BUNDLED}?query_prompt=query:%20", encoder_backend="torch"))
    plain = make_encoder(Settings(encoder_backend="torch"))
    assert encoder.name == plain.name
    assert np.dot(encoder.encode_query("pumps"), plain.encode_query("query: pumps")) >= 0.999
    assert np.dot(encoder.encode_passages(["pumps"])[0], plain.encode_passages(["pumps"])[0]) >= 0.999


class Slow:
    """Work that waits to be let go on, and notes what it was given together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def __call__(self, asked: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(asked))
        self.begun.release()
        self.go.acquire()
        if -1 in asked:
            raise ValueError("bad")
        return [2 * one for one in asked]


def gathered(slow: Slow, first: int, others: Sequence[int], most: int = 8) -> dict[int, object]:
    """What each caller gets when the others come while the first is being worked on."""
    gathering = Gathering[int, int](slow, most=most)
    found: dict[int, object] = {}

    def ask(number: int) -> None:
        try:
            found[number] = gathering.one(number)
        except ValueError as error:
            found[number] = error

    threads = [threading.Thread(target=ask, args=(number,)) for number in (first, *others)]
    threads[0].start()
    slow.begun.acquire()
    for waiting, thread in enumerate(threads[1:], 1):
        thread.start()
        while len(gathering._waiting) < waiting:
            thread.join(0.001)
    for _ in threads:
        slow.go.release()
    for thread in threads:
        thread.join()
    assert gathering._free == 1
    return found


def test_those_who_come_meanwhile_go_together() -> None:
    slow = Slow()
    assert gathered(slow, 1, range(2, 10), most=4) == {number: 2 * number for number in range(1, 10)}
    assert slow.batches == [[1], [2, 3, 4, 5], [6, 7, 8, 9]]


class Held(CommonEncoder):
    """Encodes when it is let, and notes what it is given together."""

    dimension, query_prompt, passage_prompt = 2, "query: ", ""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        self.begun.release()
        self.go.acquire()
        return np.ones((len(texts), 2), np.float32)


def test_queries_of_several_threads_are_encoded_together() -> None:
    held = Held()
    threads = [threading.Thread(target=held.encode_query, args=(str(number),)) for number in range(5)]
    threads[0].start()
    held.begun.acquire()
    for thread in threads[1:]:
        thread.start()
    for _ in range(5000):
        if len(held._queries._waiting) == 4 or len(held.batches) > 1:
            break
        threads[1].join(0.001)
    held.go.release(len(threads))
    for thread in threads:
        thread.join()
    assert [sorted(one) for one in held.batches] == [["query: 0"], [f"query: {number}" for number in range(1, 5)]]


def test_an_error_is_its_batchs_alone() -> None:
    slow = Slow()
    found = gathered(slow, 1, [2, -1, 4, 5], most=2)
    assert {number for number, one in found.items() if isinstance(one, ValueError)} == {2, -1}
    assert (found[1], found[4], found[5]) == (2, 8, 10)


def test_an_interrupted_wait_hands_its_batch_on(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, left = Slow(), list[str]()
    gathering = Gathering[int, int](slow)

    class Interrupted(threading.Event):
        """Its caller is interrupted just as it is given a batch."""

        def wait(self, timeout: float | None = None) -> bool:
            super().wait(timeout)
            raise KeyboardInterrupt

    def ask(number: int) -> None:
        try:
            left.append(str(gathering.one(number)))
        except KeyboardInterrupt:
            left.append("interrupted")

    threads = [threading.Thread(target=ask, args=(number,)) for number in (1, 2, 3)]
    threads[0].start()
    slow.begun.acquire()
    with monkeypatch.context() as patch:
        patch.setattr("core.gathering.threading.Event", Interrupted)
        threads[1].start()
        while len(gathering._waiting) < 1:
            threads[1].join(0.001)
    threads[2].start()
    while len(gathering._waiting) < 2:
        threads[2].join(0.001)
    slow.go.release()
    slow.go.release()
    for thread in threads:
        thread.join()
    assert sorted(left) == ["2", "6", "interrupted"]
    assert slow.batches == [[1], [3]]
    assert gathering._free == 1


@pytest.mark.parametrize(("stated", "there", "chosen"), [
    ("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", False, "cuda"),
])  # fmt: skip
def test_a_gpu_is_used_where_there_is_one(stated: Literal["auto", "cpu", "cuda"], there: bool, chosen: str) -> None:
    assert choose_device(stated, usable=lambda: there) == chosen


def test_the_device_is_found_out_without_loading_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_DRIVER", tmp_path)
    monkeypatch.setattr(device, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    for told, usable in (("cuda: Optional[str] = '13.0'", True), ("cuda: Optional[str] = None", False)):
        (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{told}\n", "utf-8")
        assert device.gpu_usable() is usable
    (tmp_path / "version.py").unlink()
    assert not device.gpu_usable()


@pytest.mark.skipif(device.gpu_usable(), reason="there is a GPU")
def test_a_gpu_that_was_insisted_on_and_is_not_there_is_told() -> None:
    encoder = make_encoder(Settings(encoder_device="cuda"))
    with pytest.raises(SettingError, match="PyTorch finds no GPU"):
        encoder.warm_up()
    with pytest.raises(SettingError, match="encoder_backend is openvino"):
        make_encoder(Settings(encoder_device="cuda", encoder_backend="openvino"))


def test_a_gpu_that_cannot_be_used_after_all_leaves_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embed.encoders.factory.choose_device", lambda stated: "cuda")
    encoder = make_encoder(Settings(encoder_device="auto", encoder_threads=1))
    assert encoder.tag in {f"{BUNDLED}/torch-bf16", f"{BUNDLED}/torch-fp32"}


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 23, 64])
def test_batches_hold_every_text_once_and_have_few_shapes(count: int) -> None:
    ids = [[0] * (place * 7 % 31) for place in range(count)]
    batches = list(by_length(ids, 8, few_shapes=True))
    places = [place for batch in batches for place in batch]
    assert sorted(places) == list(range(count))
    assert [len(ids[place]) for place in places] == sorted((len(one) for one in ids), reverse=True)
    assert {len(batch) for batch in batches} <= {1, 2, 4, 8}
    assert len(batches) <= count // 8 + 3
