"""Reference vectors: a backend may join a generation only when it puts known sentences where the model does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from core.errors import AmbitError
from embed.encoders.base import Encoder

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
    reference = json.loads(_REFERENCES.read_text("utf-8")).get(encoder.name)
    if reference is None:
        return None
    wanted = np.asarray(reference["vectors"], np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    found = encoder.encode_passages(reference["texts"])
    if found.shape != wanted.shape:
        raise EncoderMismatchError(f"{encoder.tag} makes vectors of {found.shape[1]} numbers, not {wanted.shape[1]}")
    lowest = float(np.sum(found * wanted, axis=1).min())
    if not lowest >= LEAST_COSINE:
        raise EncoderMismatchError(f"{encoder.tag} agrees with the reference vectors only to {lowest:.4f}, not 0.99")
    return lowest
