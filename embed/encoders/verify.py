"""Reference vectors: a backend may join a generation only when it puts known sentences where the model does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import AmbitError
from embed.encoders.base import Encoder, Vectors

LEAST_COSINE = 0.99
_REFERENCES = Path(__file__).with_name("reference.json")


class EncoderMismatchError(AmbitError):
    """An encoder's vectors do not belong with those that are stored."""

    code = "encoder_mismatch"
    title = "Encoder does not fit the index"


def verify(encoder: Encoder) -> float | None:
    """Lowest cosine between the encoder's vectors and the model's reference vectors; None: the model has none.

    Raises:
        EncoderMismatchError: a cosine is below 0.99.
    """
    known = _references().get(encoder.name)
    if known is None:
        return None
    return agreeing(encoder, np.asarray(known["vectors"], np.float32), encoder.encode_passages(known["texts"]))


def sentences() -> list[str]:
    """The sentences that encoders are compared by."""
    texts: list[str] = next(iter(_references().values()))["texts"]
    return texts


def agreeing(encoder: Encoder, wanted: Vectors, found: Vectors) -> float:
    """Lowest cosine between vectors that the encoder made and those that it should have, row by row.

    Raises:
        EncoderMismatchError: one is below 0.99, or their shapes differ.
    """
    if found.shape != wanted.shape:
        raise EncoderMismatchError(f"{encoder.tag} makes vectors of {found.shape[1]} numbers, not {wanted.shape[1]}")
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(found, axis=1)
    lowest = float((np.sum(found * wanted, axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)).min())
    if not lowest >= LEAST_COSINE:
        raise EncoderMismatchError(
            f"{encoder.tag} agrees with the reference vectors only to {lowest:.4f}, not 0.99; bring back the backend "
            "that made them (encoder_backend), or build the index anew with `ambit reembed --encoder`"
        )
    return lowest


def _references() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_REFERENCES.read_text("utf-8"))
    return found
