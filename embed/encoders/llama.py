"""Any LlamaIndex embedding class, by its import path."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import SettingError
from embed.encoders.base import Vectors
from embed.encoders.remote import RemoteEncoder
from embed.encoders.spec import COUNTING, PROMPTS, EncoderSpec
from embed.encoders.turns import TurnLock

_BASE = "llama_index.core.base.embeddings.base"
_MAX_TOKENS = 512
_NAMED = "secret:"
INSTALL_HINT = "pip install 'ambit[llm]'"


class LlamaIndexEncoder(RemoteEncoder):
    """The `Encoder` protocol over a class such as `llama_index.embeddings.huggingface.HuggingFaceEmbedding`.

    The class is made at first use, and called by one thread at a time, since nothing is known of it. Its own
    treatment of queries holds: prompts belong among its arguments.

    Args:
        spec: import path; options are the class's arguments, as JSON where they are no text, and
            `secret:NAME` stands for the environment variable `AMBIT_SECRET_NAME`.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__(spec, max_tokens=_MAX_TOKENS)
        self._turn = TurnLock()
        self._made: Any = None

    @property
    def name(self) -> str:
        """The class's name for the model, as its arguments state it, else the class's own name."""
        options = self._spec.options
        stated = options.get("model_name") or options.get("model") or self._spec.model.rpartition(".")[2]
        return stated.rstrip("/").rpartition("/")[2] if stated.startswith("/") else stated

    @property
    def tag(self) -> str:
        """The model and the class that runs it."""
        return f"{self.name}/llamaindex-{self._spec.model.rpartition('.')[2]}"

    def _encode_queries(self, texts: Sequence[str]) -> Sequence[Vectors]:
        asked = [self._fitting(self.query_prompt + text) for text in texts]
        with self._turn:
            found = [self._model().get_query_embedding(text) for text in asked]
        return list(self._checked(found, len(texts)))

    def _ask(self, texts: Sequence[str]) -> Any:
        with self._turn:
            return self._model().get_text_embedding_batch(list(texts))

    def _model(self) -> Any:
        if self._made is None:
            self._made = _make(self._spec)
        return self._made


def _make(spec: EncoderSpec) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    kind = _class(spec.model)
    own = {name: value for name, value in spec.options.items() if name not in PROMPTS | COUNTING}
    arguments = {name: _value(value) for name, value in own.items()}
    try:
        return kind(**arguments)
    except Exception as error:  # noqa: BLE001 - whatever a library raises; its words may hold a key
        failure = type(error).__name__
    raise SettingError(f"encoder {spec.model!r} cannot be made of {sorted(arguments)}: {failure}")


def _class(path: str) -> Any:
    module, dot, name = path.rpartition(".")
    try:
        base = importlib.import_module(_BASE).BaseEmbedding
        found = getattr(importlib.import_module(module), name) if dot else None
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingError(
            f"encoder {path!r} is not installed ({type(error).__name__}); {INSTALL_HINT}, and the package of the class"
        ) from None
    if not (isinstance(found, type) and issubclass(found, base)):
        raise SettingError(f"encoder {path!r} is no LlamaIndex embedding class")
    return found


def _value(stated: str) -> Any:
    """A secret, a value in JSON, or the text itself."""
    if stated.startswith(_NAMED):
        return _secret(os.environ, stated.removeprefix(_NAMED))
    try:
        return json.loads(stated)
    except ValueError:
        return stated


def _secret(environment: Mapping[str, str], name: str) -> str:
    variable = f"AMBIT_SECRET_{name}"
    if variable not in environment:
        raise SettingError(f"an argument of the encoder is a secret, and {variable} is not set")
    return environment[variable]
