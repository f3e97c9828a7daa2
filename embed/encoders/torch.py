"""Sentence-transformers models by PyTorch, on the CPU or a GPU: bf16 where it is had, batches of like length."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import SettingError
from embed.encoders.base import Vectors
from embed.encoders.batches import BATCH, by_length, padded, unit
from embed.encoders.common import LocalEncoder
from embed.encoders.device import Device, check_device
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
_GPU_BATCH = 128
_FAST_POOLING = ("mean", "cls")
_log = logging.getLogger(__name__)


class TorchEncoder(LocalEncoder):
    """The `Encoder` protocol over PyTorch.

    Models made of a transformer, pooling and normalisation are run directly; others, and those whose vectors would
    then differ, go through `SentenceTransformer.encode`.

    Args:
        files: the model's folder; read at first use.
        threads: of one encoding; 0: one for each core this process may use. Holds for PyTorch in the whole process.
        bf16: whether matrix products are in bfloat16; None: where the device has instructions for it.
        device: what runs it.
    """

    def __init__(
        self, files: ModelFiles, *, threads: int = 0, bf16: bool | None = None, device: Device = "cpu"
    ) -> None:
        super().__init__(files, threads=threads)
        self._bf16 = bf16
        self.device = device
        self._turn = TurnLock()
        self._model: SentenceTransformer | None = None
        self._feeder: tokenizers.Tokenizer | None = None

    @property
    def tag(self) -> str:
        """Model, backend and precision; finding out the precision loads PyTorch."""
        place = "" if self.device == "cpu" else f"-{self.device}"
        return f"{self.name}/torch{place}-{'bf16' if self._precision() else 'fp32'}"

    def warm_up(self) -> None:
        """Loads the weights.

        Raises:
            SettingError: the model cannot be loaded, its vectors are not of the length its files state, or there is
                no GPU to run it on.
        """
        tokenizer = self.tokenizer
        with self._warming:
            if self._model is None:
                check_device(self.device)
                model = _load(self._files, self._precision(), self._threads, self.device)
                self._feeder = self._direct(model, tokenizer)
                self._model = model

    def _precision(self) -> bool:
        if self._bf16 is None:
            self._bf16 = _has_bf16(self.device)
        return self._bf16

    def _encode(self, texts: Sequence[str]) -> Vectors:
        self.warm_up()
        assert self._model is not None
        clean = [well_formed(text) for text in texts]
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


def _has_bf16(device: Device) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001 - no public name


def _load(files: ModelFiles, bf16: bool, threads: int, device: Device) -> SentenceTransformer:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    try:
        model = SentenceTransformer(str(files.folder), device=device, local_files_only=True).eval()
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
            batch_size=_batch(model),
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
    for places in by_length(ids, _batch(model)):
        with turn:
            vectors[places] = _forward(model, [ids[place] for place in places])
    return unit(vectors)


def _forward(model: SentenceTransformer, ids: list[list[int]]) -> Vectors:
    """Pooled vectors of one batch."""
    import torch

    tokens, mask = padded(ids, pad=int(getattr(model.tokenizer, "pad_token_id", 0) or 0))
    features = {
        "input_ids": torch.from_numpy(tokens).to(model.device),
        "attention_mask": torch.from_numpy(mask).to(model.device),
    }
    with torch.inference_mode():
        pooled: Vectors = model[1](model[0](features))["sentence_embedding"].float().cpu().numpy()
    return pooled


def _batch(model: SentenceTransformer) -> int:
    return _GPU_BATCH if model.device.type == "cuda" else BATCH
