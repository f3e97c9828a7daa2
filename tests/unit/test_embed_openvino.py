"""Exporting a model for OpenVINO: once, whole, by one process, and falling back where it fails."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core.errors import SettingError
from core.settings import Settings
from embed.encoders import exported
from embed.encoders.base import Vectors
from embed.encoders.exported import BINARY, GRAPH, exported_model, sealed
from embed.encoders.factory import make_encoder
from embed.encoders.fallback import FallbackEncoder
from embed.encoders.files import BUNDLED, ModelFiles, find_model
from embed.encoders.openvino import OpenVinoEncoder
from embed.encoders.ov import Compiled
from embed.encoders.torch import TorchEncoder
from tests.factories.encoders import WordEncoder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(encoder_cache: Path) -> Path:
    """A real export of the bundled model."""
    return exported_model(find_model(BUNDLED), encoder_cache)[0]


class Exports:
    """Stands in for the exporting process: hands out a copy of a real export and counts."""

    def __init__(self, made: Path) -> None:
        self.made, self.count = made, 0

    def __call__(self, files: ModelFiles, draft: Path) -> None:
        self.count += 1
        shutil.copytree(self.made, draft, dirs_exist_ok=True)


@pytest.fixture
def exports(made: Path, monkeypatch: pytest.MonkeyPatch) -> Exports:
    counted = Exports(made)
    monkeypatch.setattr(exported, "_run", counted)
    return counted


def test_an_export_is_made_once_and_leaves_nothing_else(exports: Exports, tmp_path: Path) -> None:
    files = find_model(BUNDLED)
    first = exported_model(files, tmp_path / "cache")
    assert exported_model(files, tmp_path / "cache") == first
    assert exports.count == 1
    assert first[1] == "int8"
    assert sorted(one.name for one in (tmp_path / "cache").iterdir()) == [".lock", first[0].name]


@pytest.mark.parametrize("damage", [BINARY, GRAPH, "export.json", "gone"])
def test_a_damaged_export_is_made_again(exports: Exports, tmp_path: Path, damage: str) -> None:
    files = find_model(BUNDLED)
    folder, _ = exported_model(files, tmp_path)
    if damage == "gone":
        (folder / BINARY).unlink()
    else:
        with (folder / damage).open("r+b") as file:
            file.seek(40)
            file.write(b"\x00damaged")
    assert sealed(folder) is None
    assert exported_model(files, tmp_path) == (folder, "int8")
    assert exports.count == 2
    assert sealed(folder) == "int8"


def test_of_many_at_once_one_exports(exports: Exports, tmp_path: Path) -> None:
    files, start, found = find_model(BUNDLED), threading.Barrier(6), list[object]()

    def work() -> None:
        start.wait()
        found.append(exported_model(files, tmp_path))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert exports.count == 1
    assert len(set(map(str, found))) == 1
    assert len(found) == 6


def test_an_export_cut_short_is_not_used(exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(files: ModelFiles, draft: Path) -> None:
        exports(files, draft)
        (draft / "export.json").unlink()

    monkeypatch.setattr(exported, "_run", half)
    with pytest.raises(SettingError, match="not whole"):
        exported_model(find_model(BUNDLED), tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [".lock"]


def test_another_models_files_are_another_export(tmp_path: Path) -> None:
    shutil.copytree(find_model(BUNDLED).folder, tmp_path / "model")
    before = find_model(str(tmp_path / "model")).fingerprint()
    assert before == find_model(BUNDLED).fingerprint()
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text("utf-8")), "extra": 1}), "utf-8")
    assert find_model(str(tmp_path / "model")).fingerprint() != before


def test_a_failed_export_says_why_and_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(find_model(BUNDLED).folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    settings = Settings(_env_file=None, data_dir=tmp_path, encoder=str(folder), encoder_backend="openvino")
    with pytest.raises(SettingError, match=r"cannot be exported for OpenVINO \(OSError.*encoder_backend to torch"):
        make_encoder(settings).warm_up()


class Broken(WordEncoder):
    """Cannot be loaded."""

    def warm_up(self) -> None:
        raise SettingError("it cannot be exported")


class Elsewhere(WordEncoder):
    """Claims to be the bundled model and makes other vectors."""

    name = BUNDLED
    dimension = 384

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return np.full((len(texts), 384), 384**-0.5, np.float32)


@pytest.mark.parametrize("first", [Broken(), Elsewhere()])
def test_the_slower_backend_serves_where_the_fast_one_fails(
    first: WordEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    second = WordEncoder()
    encoder = FallbackEncoder(first, second)
    with caplog.at_level(logging.WARNING, "embed.encoders.fallback"):
        encoder.warm_up()
        encoder.encode_query("again")
    assert encoder.tag == second.tag
    assert [record.getMessage() for record in caplog.records if "slower backend" in record.getMessage()] != []
    assert len(caplog.records) == 1
    assert np.array_equal(encoder.encode_passages(["a"]), second.encode_passages(["a"]))


def test_the_fast_backend_serves_where_it_works(caplog: pytest.LogCaptureFixture) -> None:
    first = WordEncoder()
    encoder = FallbackEncoder(first, Broken())
    encoder.warm_up()
    assert (encoder.tag, caplog.records) == (first.tag, [])
    encoder.encode_passages(["a", "b"])
    assert first.encoded == 2


def test_settings_choose_the_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(backend: str, **more: str) -> object:
        return make_encoder(Settings(_env_file=None, data_dir=tmp_path, encoder_backend=backend, **more))  # type: ignore[arg-type]

    assert isinstance(made("auto"), FallbackEncoder)
    assert isinstance(made("openvino"), OpenVinoEncoder)
    assert isinstance(made("torch"), TorchEncoder)
    folder = tmp_path / "pooled-otherwise"
    shutil.copytree(find_model(BUNDLED).folder, folder)
    config = {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config), "utf-8")
    assert isinstance(made("auto", encoder=str(folder)), TorchEncoder)
    with pytest.raises(SettingError, match="more than a transformer"):
        made("openvino", encoder=str(folder))
    monkeypatch.setattr("embed.encoders.factory.find_spec", lambda name: None)
    assert isinstance(made("auto"), TorchEncoder)
    with pytest.raises(SettingError, match="not installed"):
        made("openvino")


def test_serving_loads_neither_torch_nor_the_models_library(made: Path, tmp_path: Path) -> None:
    """Held through the whole stack: index, generation, query."""
    code = f"""
import sys
from pathlib import Path
from core.db import Database
from core.settings import Settings
from core.tables import Base
from embed.stack import VectorStack
from tests.factories.scopes import make_scope
settings = Settings(_env_file=None, data_dir=Path({str(tmp_path)!r}), encoder_cache=Path({str(made.parent)!r}))
db = Database(settings.sql_url)
Base.metadata.create_all(db.engine)
stack = VectorStack(settings, db)
stack.warm_up()
assert "openvino" in stack.encoder.tag, stack.encoder.tag
assert stack.search("leave", make_scope(1), limit=1) == []
stack.close()
heavy = {{"torch", "sentence_transformers", "transformers", "llama_index", "qdrant_client"}}
print(sorted(heavy & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "[]"


class Binding:
    """Stands in for OpenVINO's, in which a second inference that begins during the first one stands still for ever."""

    def __init__(self) -> None:
        self.prepared, self.preparing, self.stuck = False, False, False

    def infer(self, *_: object, **__: object) -> None:
        if not self.prepared:
            self.stuck |= self.preparing
            self.preparing = True
            time.sleep(0.05)
            self.prepared = True

    def module(self) -> SimpleNamespace:
        request = SimpleNamespace(infer=self.infer, get_output_tensor=lambda _: SimpleNamespace(data=[[0.0]]))
        model = SimpleNamespace(create_infer_request=lambda: request)
        return SimpleNamespace(Core=lambda: SimpleNamespace(get_property=lambda *_: (), compile_model=lambda *_: model))


@pytest.mark.parametrize("apart", [False, True], ids=["one model", "two models"])
def test_the_first_inference_of_a_process_is_alone(monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    """Found as a search that never ended: its two threads held the interpreter and what the binding prepares."""
    binding, together, tokens = Binding(), threading.Barrier(2), np.ones((1, 8), np.int64)
    monkeypatch.setitem(sys.modules, "openvino", binding.module())
    shared = None if apart else Compiled(Path(GRAPH), threads=2)

    def infer() -> None:
        together.wait()
        (shared or Compiled(Path(GRAPH), threads=2)).infer(tokens, tokens)

    threads = [threading.Thread(target=infer) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert binding.prepared
    assert not binding.stuck
