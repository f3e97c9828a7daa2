"""How much text an encoder reads of a passage; beyond it a vector would stand for a part alone."""

from __future__ import annotations

from core.errors import SettingError
from embed.encoders.base import Encoder

CONTEXT_TOKENS = 48
"""Most tokens of a chunk's context: what the document is called, and its headings."""
MARKS = 4
"""Tokens that an encoder and the joint between context and text may add."""
LEAST = 16
"""Fewest tokens of a text that are worth a vector."""


def room(encoder: Encoder) -> int:
    """Tokens of a passage that are read: what is left beside the prompt and the special ones."""
    prompt = encoder.passage_prompt
    return encoder.max_tokens - MARKS - (encoder.tokenizer.count([prompt])[0] if prompt else 0)


def chunk_room(encoder: Encoder) -> int:
    """Tokens of a chunk's text that are read, its context beside it.

    Raises:
        SettingError: so few that nothing would be found by them.
    """
    left = room(encoder) - CONTEXT_TOKENS
    if left < LEAST:
        raise SettingError(
            f"encoder {encoder.name} reads {encoder.max_tokens} tokens at once, too few for a chunk with its title and "
            f"headings; choose one that reads {encoder.max_tokens + LEAST - left} or more"
        )
    return left
