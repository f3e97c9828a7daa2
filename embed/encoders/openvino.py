"""Sentence-transformers models on the CPU by OpenVINO: 8-bit weights, bf16 where the machine has it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import SettingError
from embed.encoders.base import Vectors
from embed.encoders.batches import by_length, padded, unit
from embed.encoders.common import LocalEncoder
from embed.encoders.exported import GRAPH, exported_model
from embed.encoders.files import ModelFiles
from embed.encoders.ov import Compiled, usable_cores
from embed.encoders.tokenizer import well_formed

if TYPE_CHECKING:
    import tokenizers

_WIDTHS = 16
"""Batches are padded to multiples of this: the engine keeps what it prepared for each shape, 200 MB if all differ. A
matrix tile is 16 rows, so less padding saves no time."""


class OpenVinoEncoder(LocalEncoder):
    """The `Encoder` protocol over OpenVINO. Only the export, once, loads PyTorch, in a process of its own.

    Args:
        files: the model's folder.
        cache: where exported models are kept.
        threads: of one encoding; 0: one for each core this process may use.
    """

    def __init__(self, files: ModelFiles, cache: Path, *, threads: int = 0) -> None:
        super().__init__(files, threads=threads, lanes=threads or usable_cores())
        self._cache = cache
        self._feeder: tokenizers.Tokenizer | None = None
        self._pad = 0
        self._model: Compiled | None = None
        self._weights = ""
        self._workers: ThreadPoolExecutor | None = None

    @property
    def tag(self) -> str:
        """Model, backend and precision of weights and activations; finding them out loads the model."""
        self.warm_up()
        assert self._model is not None
        return f"{self.name}/openvino-{self._weights}-{'bf16' if self._model.bf16 else 'fp32'}"

    def warm_up(self) -> None:
        """Loads the exported model, exporting it first where that was not done.

        Raises:
            SettingError: it cannot be exported, or OpenVINO refuses it.
        """
        tokenizer = self.tokenizer
        with self._warming:
            if self._model is None:
                self._feeder = tokenizer.truncating(self.max_tokens)
                self._pad = self._feeder.token_to_id(self._files.pad_token) or 0
                self._model = self._load()

    def _load(self) -> Compiled:
        threads = self._threads or usable_cores()
        folder, self._weights = exported_model(self._files, self._cache)
        try:
            model = Compiled(folder / GRAPH, threads=threads)
        except (RuntimeError, ImportError) as error:
            told = f"OpenVINO cannot run encoder {self.name!r} ({error}); set encoder_backend to torch"
            raise SettingError(told) from error
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="ambit-encode")
        return model

    def _encode(self, texts: Sequence[str]) -> Vectors:
        self.warm_up()
        vectors = np.empty((len(texts), self.dimension), np.float32)
        ids = self._tokens(texts)
        batches = list(by_length(ids, few_shapes=True))

        def encode(places: list[int]) -> None:
            vectors[places] = self._infer([ids[place] for place in places])

        if len(batches) == 1:
            encode(batches[0])
        else:
            assert self._workers is not None
            for _ in self._workers.map(encode, batches):
                pass
        return unit(vectors)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        assert self._feeder is not None
        clean = [well_formed(text.lower() if self._files.lower_case else text) for text in texts]
        return [one.ids for one in self._feeder.encode_batch_fast(clean)]

    def _infer(self, ids: list[list[int]]) -> Vectors:
        assert self._model is not None
        return self._model.infer(*padded(ids, pad=self._pad, multiple=_WIDTHS))
