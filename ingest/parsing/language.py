"""The language a document is written in, told from its text, offline."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

from ingest.model import Element

SAMPLE = 4000
"""Characters that are looked at."""
FEWEST_LETTERS = 40
"""With fewer letters any answer would be a guess."""
LEAST_SURE = 0.7
_NONE = "zxx"
"""What the model calls text that is no language."""
_LOADING = threading.Lock()


def language_of(elements: Iterable[Element]) -> str | None:
    """Two-letter code of the language of a document's prose; None where there is too little of it to tell."""
    text = _sample(elements)
    if sum(letter.isalpha() for letter in text) < FEWEST_LETTERS:
        return None
    with _LOADING:
        identifier = _identifier()
    language, sure = identifier.classify(text)
    return str(language) if sure >= LEAST_SURE and language != _NONE else None


def _sample(elements: Iterable[Element]) -> str:
    """The first prose; code and tables say little of a language."""
    parts: list[str] = []
    room = SAMPLE
    for element in elements:
        if room > 0 and element.kind not in ("code", "table"):
            parts.append(element.text[:room])
            room -= len(parts[-1])
    return "\n".join(parts)


@cache
def _identifier() -> Any:
    """The model, loaded once a process: 0.7 seconds, and memory that a worker which sees no document should not pay."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
