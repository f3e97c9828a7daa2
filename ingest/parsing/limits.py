"""How much of one file a parser may read and bring forth."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold for every format.

    Attributes:
        max_pages: pages, slides or sheets of one document.
        max_expansion: most times its own size that a compressed file may declare to unpack to.
        max_bytes: largest file; the extracted text may be twice as long, in characters.
        seconds: time one file may take; whoever started the parser process ends it then.
        ocr_languages: languages that pictures are read in, as tesseract names them; empty: they are not read.
    """

    max_pages: int = 5000
    max_expansion: int = 200
    max_bytes: int = 100 * MIB
    seconds: float = 120.0
    ocr_languages: str = "eng"

    @property
    def max_text(self) -> int:
        """Most characters of extracted text: a cell repeated by reference can outgrow its file."""
        return 2 * self.max_bytes

    def unpacked(self, size: int) -> int:
        """Bytes that a compressed file of `size` bytes may unpack to; small files compress well, hence a floor."""
        return min(max(size * self.max_expansion, 4 * MIB), 20 * self.max_bytes)
