"""How alike two texts are: MinHash over runs of three words, cut into bands that SQL can compare.

Broder, "On the resemblance and containment of documents" (1997). 16 bands of 8 numbers find a pair of similarity 0.85
with a chance above 0.99, one of 0.5 with a chance of 0.06.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from rensa import RMinHash

NUMBERS, BANDS = 128, 16
ALIKE = 0.8
"""Estimated similarity (shared runs of three words) from which two documents count as nearly alike."""
FEWEST_WORDS = 20
"""Shorter texts are compared whole alone: a few runs say little."""
_SEED = 20_240_501
_RUN = 3
_ROWS = NUMBERS // BANDS
_WORD = re.compile(r"\w+")
_PACKED = struct.Struct(f">{NUMBERS}I")


@dataclass(frozen=True, slots=True)
class Likeness:
    """What of a text is compared: its words as one hash and, where there are enough of them, a signature."""

    text_hash: str
    signature: bytes | None


def likeness(text: str) -> Likeness:
    """Of a text, whatever its layout and case."""
    words = _WORD.findall(text.casefold())
    whole = hashlib.blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return Likeness(whole, _signature(words) if len(words) >= FEWEST_WORDS else None)


def _signature(words: Sequence[str]) -> bytes:
    sketch = RMinHash(num_perm=NUMBERS, seed=_SEED)
    sketch.update([" ".join(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)])
    return _PACKED.pack(*sketch.digest())


def bands(signature: bytes) -> list[int]:
    """One signed 64-bit number a band, each a hash of the band's place and its numbers."""
    width = _ROWS * 4
    parts = (signature[at : at + width] for at in range(0, len(signature), width))
    digests = (hashlib.blake2b(bytes([place]) + part, digest_size=8).digest() for place, part in enumerate(parts))
    return [int.from_bytes(digest, "big", signed=True) for digest in digests]


def similarity(one: bytes, other: bytes) -> float:
    """Share of the numbers that two signatures have in common: the estimated share of runs that the texts do."""
    same: int = sum(a == b for a, b in zip(_PACKED.unpack(one), _PACKED.unpack(other), strict=True))
    return same / NUMBERS
