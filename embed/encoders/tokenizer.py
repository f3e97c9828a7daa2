"""An encoder's tokenizer alone: counting and cutting text without loading weights."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tokenizers


def well_formed(text: str) -> str:
    """`text` with lone surrogates, which the tokenizer refuses, replaced by `?`; offsets stay as they were."""
    return text.encode("utf-8", "replace").decode("utf-8")


class FastTokenizer:
    """The `Tokenizer` protocol over a `tokenizer.json`, read at first use; truncation and padding are off."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._engine: tokenizers.Tokenizer | None = None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special ones."""
        found = self._loaded().encode_batch_fast([well_formed(text) for text in texts], add_special_tokens=False)
        return [len(one.ids) for one in found]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token in characters of `text`."""
        return list(self._loaded().encode(well_formed(text), add_special_tokens=False).offsets)

    def truncating(self, max_tokens: int) -> tokenizers.Tokenizer:
        """A separate engine that cuts texts at `max_tokens`, special ones included, for feeding the model."""
        engine = self._open()
        engine.enable_truncation(max_tokens)
        return engine

    def _loaded(self) -> tokenizers.Tokenizer:
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def _open(self) -> tokenizers.Tokenizer:
        from tokenizers import Tokenizer  # not needed by most commands

        engine = Tokenizer.from_file(str(self._file))
        engine.no_truncation()
        engine.no_padding()
        return engine
