"""Encoder, weights, index and generation together."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select, update

from core.db import Database
from core.ids import chunk_hash, point_id
from core.settings import Settings
from core.tables import Base, Generation
from embed.encoders.base import Vectors
from embed.encoders.files import BUNDLED
from embed.encoders.verify import EncoderMismatchError
from embed.generations import LiveGeneration, collection_name
from embed.index.base import Filters, Payload, Point
from embed.stack import VectorStack
from tests.factories.encoders import WordEncoder
from tests.factories.scopes import make_scope

TEXTS = ["Employees receive twenty-five days of paid leave.", "The pump is stopped for inspection.", "to be or not"]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'ambit.db'}")
    Base.metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, encoder_threads=1)


@pytest.fixture
def stack(settings: Settings, db: Database) -> Iterator[VectorStack]:
    made = VectorStack(settings, db)
    yield made
    made.close()


def store(stack: VectorStack, texts: list[str]) -> LiveGeneration:
    live = stack.generation()
    points = [
        Point(point_id(live.id, number, chunk_hash(text), 0), dense, sparse, Payload(1, 1, number, number, number))
        for number, (text, (dense, sparse)) in enumerate(zip(texts, stack.embed_passages(texts), strict=True), 1)
    ]
    stack.index.upsert(live.collection, points)
    return live


def test_making_one_opens_nothing(tmp_path: Path) -> None:
    VectorStack(Settings(data_dir=tmp_path / "none"), Database(f"sqlite:///{tmp_path / 'none' / 'x.db'}")).close()
    assert not (tmp_path / "none").exists()


def test_what_was_stored_is_found_within_the_scope(stack: VectorStack) -> None:
    store(stack, TEXTS)
    everything = make_scope(1, 2, 3)
    assert [hit.chunk for hit in stack.search("how much leave do staff get", everything, limit=1)] == [1]
    assert [hit.chunk for hit in stack.search("how much leave do staff get", make_scope(2), limit=3)] == [2]
    assert stack.search("leave", make_scope(), limit=3) == []
    assert stack.search("leave", everything, limit=3, filters=Filters(sources=(2,))) == []


def test_a_query_of_stop_words_is_searched_by_meaning(stack: VectorStack) -> None:
    store(stack, TEXTS)
    assert len(stack.search("to be or not to be", make_scope(1, 2, 3), limit=3)) == 3


def test_passages_keep_their_order_and_none_is_none(stack: VectorStack) -> None:
    forward, backward = stack.embed_passages(TEXTS), stack.embed_passages(TEXTS[::-1])
    for (dense, sparse), (other, weights) in zip(forward, backward[::-1], strict=True):
        assert float(np.dot(dense, other)) >= 0.9999
        assert sparse == weights
    assert stack.embed_passages([]) == []


def test_the_generation_is_made_once(stack: VectorStack, settings: Settings, db: Database) -> None:
    first = stack.generation()
    assert first == stack.generation()
    assert first.collection == "g1_all-minilm-l6-v2"
    assert first.dimension == 384
    assert first.sparse.avg_len == pytest.approx(0.4 * settings.chunk_tokens)
    other = Settings(data_dir=settings.data_dir, chunk_tokens=400)
    stack.close()
    again = VectorStack(other, db)
    assert again.generation() == first
    again.close()


def test_many_at_once_end_with_one_generation(tmp_path: Path, db: Database) -> None:
    stacks = [VectorStack(Settings(data_dir=tmp_path / str(number)), db) for number in range(8)]
    start, found = threading.Barrier(8), list[LiveGeneration]()

    def work(one: VectorStack) -> None:
        start.wait()
        found.append(one.generation())

    threads = [threading.Thread(target=work, args=(one,)) for one in stacks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in stacks:
        one.close()
    assert len(found) == 8
    assert len(set(found)) == 1
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Generation)) == 1


@pytest.mark.parametrize("values", [{"encoder": "other-model"}, {"dimension": 768}])
def test_another_encoders_generation_is_refused(stack: VectorStack, db: Database, values: dict[str, object]) -> None:
    stack.generation()
    with db.write() as session:
        session.execute(update(Generation).values(values))
    for use in (stack.generation, stack.warm_up, lambda: stack.search("x", make_scope(1), limit=1)):
        with pytest.raises(EncoderMismatchError, match="re-embedding"):
            use()


class Elsewhere(WordEncoder):
    """Has the model's name and length, and puts texts where the model does not."""

    name, tag, dimension = BUNDLED, f"{BUNDLED}/elsewhere", 384

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return np.eye(self.dimension, dtype=np.float32)[: len(texts)]


def test_an_encoder_joins_no_generation_before_it_agrees_with_the_reference(stack: VectorStack) -> None:
    vars(stack)["_encoder"] = Elsewhere()
    for use in (stack.warm_up, lambda: stack.embed_passages(TEXTS), lambda: stack.search("x", make_scope(1), limit=1)):
        with pytest.raises(EncoderMismatchError, match="reference vectors only"):
            use()


class Shifted(WordEncoder):
    """The same model by another backend, whose vectors are off by `by`."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self._by = by

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        moved = super().encode_passages(texts) + self._by * np.eye(1, self.dimension, 1)
        unit: Vectors = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
        return unit


@pytest.mark.parametrize(("by", "joins"), [(0.0, True), (0.02, True), (0.5, False)])
def test_a_model_without_reference_vectors_is_held_to_those_of_its_generation(
    settings: Settings, db: Database, by: float, *, joins: bool
) -> None:
    first = VectorStack(settings, db)
    vars(first)["_encoder"] = WordEncoder()
    store(first, TEXTS)
    first.close()
    other = VectorStack(settings, db)
    vars(other)["_encoder"] = Shifted(by)
    try:
        if joins:
            other.warm_up()
            assert [hit.chunk for hit in other.search("the pump", make_scope(1, 2, 3), limit=1)] == [2]
        else:
            with pytest.raises(EncoderMismatchError, match="reference vectors only"):
                other.warm_up()
    finally:
        other.close()


def test_a_switched_generation_is_used_at_once(stack: VectorStack, db: Database) -> None:
    first = store(stack, TEXTS)
    with db.write() as session:
        session.execute(update(Generation).values(state="retired"))
        session.add(
            Generation(encoder="all-MiniLM-L6-v2", dimension=384, sparse={"k": 1.0}, collection="g2_test", state="live")
        )
    assert stack.generation().id != first.id
    assert stack.generation().sparse.k == 1.0
    assert stack.search("leave", make_scope(1, 2, 3), limit=3) == []


def test_the_tokenizer_and_an_open_index_need_no_weights(settings: Settings, db: Database) -> None:
    code = f"""
import sys
from core.db import Database
from core.settings import Settings
from embed.stack import VectorStack
heavy = ("torch", "sentence_transformers", "transformers", "qdrant_client", "grpc")
lazy = (*heavy, "qdrant_edge", "tokenizers")
assert not [name for name in lazy if name in sys.modules], "import"
stack = VectorStack(Settings(data_dir={str(settings.data_dir)!r}), Database({settings.sql_url!r}))
assert not [name for name in lazy if name in sys.modules], "constructor"
assert stack.tokenizer.count(["hello world"]) == [2]
stack.warm_up(weights=False)
stack.close()
assert not [name for name in heavy if name in sys.modules], "warm_up"
"""
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_collection_names_are_plain() -> None:
    assert collection_name(3, "BAAI/bge-small_EN v1.5") == "g3_baai-bge-small-en-v1.5"
