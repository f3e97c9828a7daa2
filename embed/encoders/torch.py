"""Sentence-transformers models on the CPU by PyTorch: bf16 where the machine has it, batches of like length."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import SettingError
from embed.encoders.base import Vectors
from embed.encoders.batches import BATCH, by_length, padded, unit
from embed.encoders.files import ModelFiles
from embed.encoders.tokenizer import FastTokenizer, well_formed
from embed.encoders.turns import TurnLock

if TYPE_CHECKING:
    import tokenizers
    from sentence_transformers import SentenceTransformer

_PROBES = (
    "A short sentence.",
    "Payment is due thirty days after the invoice date, unless the contract says otherwise.",
)
_AGREEMENT = 0.99
_FAST_POOLING = ("mean", "cls")
_log = logging.getLogger(__name__)


class TorchEncoder:
    """The `Encoder` protocol over PyTorch.

    Models made of a transformer, pooling and normalisation are run directly; others, and those whose vectors would
    then differ, go through `SentenceTransformer.encode`.

    Args:
        files: the model's folder; read at first use.
        threads: of one encoding; 0: one for each core this process may use. Holds for PyTorch in the whole process.
        bf16: whether matrix products are in bfloat16; None: where the CPU has instructions for it.
    """

    def __init__(self, files: ModelFiles, *, threads: int = 0, bf16: bool | None = None) -> None:
        self._files = files
        self._threads = threads
        self._bf16 = bf16
        self._turn = TurnLock()
        self._warming = threading.Lock()
        self._model: SentenceTransformer | None = None
        self._feeder: tokenizers.Tokenizer | None = None
        self._tokenizer: FastTokenizer | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self._files.name

    @property
    def tag(self) -> str:
        """Model, backend and precision; finding out the precision loads PyTorch."""
        return f"{self.name}/torch-{'bf16' if self._precision() else 'fp32'}"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._files.dimension

    @property
    def max_tokens(self) -> int:
        """Tokens beyond which text is cut."""
        return self._files.max_tokens

    @property
    def tokenizer(self) -> FastTokenizer:
        """The tokenizer alone."""
        with self._warming:
            if self._tokenizer is None:
                self._tokenizer = FastTokenizer(self._files.tokenizer)
            return self._tokenizer

    def warm_up(self) -> None:
        """Loads the weights.

        Raises:
            SettingError: the model cannot be loaded, or its vectors are not of the length its files state.
        """
        tokenizer = self.tokenizer
        with self._warming:
            if self._model is None:
                model = _load(self._files, self._precision(), self._threads)
                self._feeder = self._direct(model, tokenizer)
                self._model = model

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dimension) in the order given."""
        return self._encode([self._files.passage_prompt + text for text in texts])

    def encode_query(self, text: str) -> Vectors:
        """One vector of shape (dimension,)."""
        first: Vectors = self._encode([self._files.query_prompt + text])[0]
        return first

    def _precision(self) -> bool:
        if self._bf16 is None:
            self._bf16 = _cpu_has_bf16()
        return self._bf16

    def _encode(self, texts: Sequence[str]) -> Vectors:
        self.warm_up()
        assert self._model is not None
        clean = [well_formed(text) for text in texts]
        if not clean:
            return np.empty((0, self.dimension), np.float32)
        if self._feeder is None:
            return _by_library(self._model, clean, self._turn)
        return _by_length(self._model, self._feeder, clean, self._turn)

    def _direct(self, model: SentenceTransformer, tokenizer: FastTokenizer) -> tokenizers.Tokenizer | None:
        """The engine that feeds the model directly, or None where that would not give the library's vectors."""
        if not _is_plain(model):
            return None
        feeder = tokenizer.truncating(self.max_tokens)
        lowest = np.sum(
            _by_length(model, feeder, _PROBES, self._turn) * _by_library(model, _PROBES, self._turn), axis=1
        )
        if lowest.min() >= _AGREEMENT:
            return feeder
        _log.warning("encoder %s runs through its library: running it directly gives other vectors", self.name)
        return None


def _cpu_has_bf16() -> bool:
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001 - no public name


def _load(files: ModelFiles, bf16: bool, threads: int) -> SentenceTransformer:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    try:
        model = SentenceTransformer(str(files.folder), device="cpu", local_files_only=True).eval()
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise SettingError(f"encoder {files.name!r} in {files.folder} cannot be loaded: {error}") from error
    found = model.get_embedding_dimension()
    if found != files.dimension:
        raise SettingError(f"encoder {files.name!r} makes vectors of {found} numbers; its files say {files.dimension}")
    model.max_seq_length = files.max_tokens
    if bf16:
        from embed.encoders.bf16 import use_bf16

        use_bf16(model[0])
    return model


def _is_plain(model: SentenceTransformer) -> bool:
    """Whether it is a transformer, pooling by mean or first token over the prompt too, and at most a normalisation."""
    kinds = [type(module).__name__ for module in model]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return False
    pooling: Any = model[1]
    config = pooling.get_config_dict()
    return config.get("pooling_mode") in _FAST_POOLING and bool(config.get("include_prompt", True))


def _by_library(model: SentenceTransformer, texts: Sequence[str], turn: TurnLock) -> Vectors:
    with turn:
        found = model.encode(
            list(texts),
            prompt="",
            batch_size=BATCH,
            convert_to_numpy=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
    return unit(np.asarray(found, np.float32))


def _by_length(
    model: SentenceTransformer, feeder: tokenizers.Tokenizer, texts: Sequence[str], turn: TurnLock
) -> Vectors:
    """Batches of texts of like token counts, put back in the caller's order; others get a turn between batches."""
    lower = bool(getattr(model[0], "do_lower_case", False))
    ids = [one.ids for one in feeder.encode_batch_fast([text.lower() if lower else text for text in texts])]
    vectors = np.empty((len(ids), model.get_embedding_dimension() or 0), np.float32)
    for places in by_length(ids):
        with turn:
            vectors[places] = _forward(model, [ids[place] for place in places])
    return unit(vectors)


def _forward(model: SentenceTransformer, ids: list[list[int]]) -> Vectors:
    """Pooled vectors of one batch."""
    import torch

    tokens, mask = padded(ids, pad=int(getattr(model.tokenizer, "pad_token_id", 0) or 0))
    features = {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(mask)}
    with torch.inference_mode():
        pooled: Vectors = model[1](model[0](features))["sentence_embedding"].float().numpy()
    return pooled
