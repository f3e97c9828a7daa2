"""The collections of the stand-in, each a folder with its configuration and one shard of the engine."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import grpc
import qdrant_edge as engine
from qdrant_client import grpc as messages

from tests.factories.qdrant.refusal import Refused, missing, wrong
from tests.factories.qdrant.schema import check_collection, to_config, vectors

_CONFIG, _SHARD = "config", "shard"


class Collection:
    """One open shard; `operations` counts the writes since the process began."""

    def __init__(self, config: Any, shard: engine.EdgeShard) -> None:
        self.config = config
        self.shard = shard
        self._sizes = {name: one.size for name, one in vectors(config).items()}
        self._lock = threading.Lock()
        self._operations = 0

    def check(self, points: list[engine.Point]) -> None:
        """Refuses all of them where one names a vector that is not there, or is of another length."""
        for point in points:
            for name, vector in point.vector.items():
                if name not in self._sizes and name not in self.config.sparse_vectors_config.map:
                    raise wrong(f"Not existing vector name error: {name}")
                if name in self._sizes and len(vector) != self._sizes[name]:
                    raise wrong(f"Vector dimension error: expected dim: {self._sizes[name]}, got {len(vector)}")

    def update(self, operation: engine.UpdateOperation) -> int:
        """Applies a write, which is in the write-ahead log then; gives its number."""
        with self._lock:
            self.shard.update(operation)
            self._operations += 1
            return self._operations


class Store:
    """Every collection in a folder; what a killed process left half made is cleared away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._open = {one.name: _load(one) for one in sorted(folder.iterdir()) if (one / _CONFIG).exists()}

    def __contains__(self, name: str) -> bool:
        return name in self._open

    def __getitem__(self, name: str) -> Collection:
        found = self._open.get(name)
        if found is None:
            raise missing(name)
        return found

    def create(self, config: Any) -> None:
        """Makes a collection; it stands from when its configuration is written."""
        check_collection(config)
        name = config.collection_name
        with self._lock:
            if name in self._open:
                text = f"Wrong input: Collection `{name}` already exists!"
                raise Refused(grpc.StatusCode.ALREADY_EXISTS, text)
            folder = self._folder / name
            shutil.rmtree(folder, ignore_errors=True)
            (folder / _SHARD).mkdir(parents=True)
            shard = engine.EdgeShard.create(str(folder / _SHARD), to_config(config))
            (folder / "new").write_bytes(config.SerializeToString())
            (folder / "new").replace(folder / _CONFIG)
            self._open[name] = Collection(config, shard)

    def drop(self, name: str) -> bool:
        """Whether there was one."""
        with self._lock:
            found = self._open.pop(name, None)
            if found is None:
                return False
            (self._folder / name / _CONFIG).unlink()
            found.shard.close()
            shutil.rmtree(self._folder / name)
            return True


def _load(folder: Path) -> Collection:
    config = messages.CreateCollection.FromString((folder / _CONFIG).read_bytes())
    return Collection(config, engine.EdgeShard.load(str(folder / _SHARD)))
