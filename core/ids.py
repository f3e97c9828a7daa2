"""Identifiers: integers inside, random public names outside, content-made names for points."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid

KEY_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,127}$"
_KEY = re.compile(KEY_PATTERN)
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_POINTS = uuid.UUID("6f6a1f0e-6c1b-4f0e-9a51-0d7c3b7f2a11")


def is_key(value: str) -> bool:
    """Whether `value` may name a declared object: `[a-z0-9._-]+`, at most 128 characters."""
    return _KEY.fullmatch(value) is not None


def public_id(prefix: str) -> str:
    """A random name such as `doc_k3v9…` that says nothing of how many others exist (100 bits)."""
    return prefix + "_" + "".join(_ALPHABET[byte % 32] for byte in secrets.token_bytes(20))


def chunk_hash(encoder_input: str) -> str:
    """Name of the exact text an encoder sees: 128-bit BLAKE2b, in hexadecimal."""
    return hashlib.blake2b(encoder_input.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def point_id(generation: int, document: int, digest: str, ordinal: int) -> str:
    """The UUID of a chunk's point: same generation, document, text and ordinal, same point.

    Args:
        generation: id of the generation whose collection holds the point.
        document: id of the document that owns the chunk.
        digest: `chunk_hash` of the exact encoder input.
        ordinal: place among equal texts of one document, from 0.
    """
    return str(uuid.uuid5(_POINTS, f"{generation}/{document}/{digest}/{ordinal}"))
