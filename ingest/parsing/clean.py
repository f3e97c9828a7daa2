"""Bytes to text, and text to what PostgreSQL, JSON and a reader can hold."""

from __future__ import annotations

import codecs
import re
import unicodedata

BINARY_PROBE = 65536
"""Bytes looked at for NULs; text in a single-byte or UTF-8 encoding has none."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BREAKS = re.compile("\r\n?|[\x0b\x85\u2028\u2029]")
# Control characters, lone surrogates, and the invisible or direction-changing ones that hide text from a reader.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_SPACES = re.compile(r"[^\S\n]+")
_GAPS = re.compile(r"\n{3,}")


def bom_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark names."""
    return next((name for mark, name in _BOMS if head.startswith(mark)), None)


def is_binary(head: bytes) -> bool:
    """Whether the first bytes cannot be text: NULs without a byte order mark that explains them."""
    return b"\0" in head and bom_encoding(head) is None


def decode(data: bytes, declared: str | None = None) -> str:
    """Text of `data`: by its byte order mark, as UTF-8, as declared, by likelihood; never fails."""
    for name in (bom_encoding(data[:4]), "utf-8", declared):
        if name is None:
            continue
        try:
            return data.decode(name)
        except (UnicodeError, LookupError):
            continue
    return _decode_guess(data)


def _decode_guess(data: bytes) -> str:
    """Windows-1252 when its letters are Western, else what charset-normalizer finds in the first 64 KiB."""
    sample = data[:BINARY_PROBE]
    western = sum(byte in b"\x85\x91\x92\x93\x94\x96\x97" or byte >= 0xC0 for byte in sample)
    high = sum(byte >= 0x80 for byte in sample)
    name = "cp1252"
    if high > len(sample) * 0.2 or western < high * 0.5:
        from charset_normalizer import from_bytes

        best = from_bytes(sample).best()
        name = best.encoding if best is not None else name
    return data.decode(name, errors="replace")


def clean(text: str) -> str:
    """`text` in NFC with line feeds only and without control, invisible and surrogate characters."""
    text = _UNWANTED.sub("", _BREAKS.sub("\n", text))
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def block(text: str) -> str:
    """A cleaned block: no spaces at line ends, no runs of blank lines."""
    lines = (line.rstrip() for line in clean(text).replace("\f", "\n").split("\n"))
    return _GAPS.sub("\n\n", "\n".join(lines)).strip("\n")


def inline(text: str) -> str:
    """A cleaned single line with single spaces."""
    return " ".join(clean(text).split())


def prose(text: str) -> str:
    """A cleaned block whose runs of spaces are one; its lines stay."""
    if "\n" not in text and text.isascii():
        return inline(text)
    return "\n".join(line for line in (_SPACES.sub(" ", x).strip() for x in block(text).split("\n")) if line)


def cell(text: str) -> str:
    """A table cell on one line; its own `|` cannot pass for a border."""
    if text.isascii() and text.isprintable() and "  " not in text and " | " not in text:
        return text.strip()
    return inline(text).replace(" | ", " / ")
