"""BM25 term weights of passages and queries, by the engine's own model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.errors import SettingError
from embed.encoders.tokenizer import well_formed
from embed.index.base import SparseVector

if TYPE_CHECKING:
    import qdrant_edge

EMPTY = SparseVector((), ())


@dataclass(frozen=True, slots=True)
class SparseParams:
    """What shapes the weights; part of a generation, since passages weighed otherwise cannot be compared.

    Attributes:
        k: how soon repetitions of a term stop counting.
        b: how much long passages are damped, from 0 to 1.
        avg_len: expected terms of a passage, stop words left out.
        language: of the stop words and the stemmer, in English, as in `german`.
    """

    k: float = 1.2
    b: float = 0.75
    avg_len: float = 80.0
    language: str = "english"

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> SparseParams:
        """The parameters a generation stores.

        Raises:
            SettingError: a key that this version does not know.
        """
        try:
            return cls(**stored)
        except TypeError:
            raise SettingError(f"the generation's sparse parameters {sorted(stored)} are of another version") from None

    def to_json(self) -> dict[str, Any]:
        """A plain object for `Generation.sparse`."""
        return asdict(self)


class SparseEncoder:
    """Text to BM25 weights; the IDF part is the engine's, at search. Thread-safe."""

    def __init__(self, params: SparseParams | None = None) -> None:
        self.params = params or SparseParams()

    def encode_passage(self, text: str) -> SparseVector:
        """Weights of a passage's terms; empty for a text of stop words alone."""
        return _sorted(self._model.embed_document(well_formed(text)))

    def encode_query(self, text: str) -> SparseVector:
        """Weight 1 for each distinct term of a query; empty for stop words alone."""
        return _sorted(self._model.embed_query(well_formed(text)))

    @cached_property
    def _model(self) -> qdrant_edge.Bm25:
        import qdrant_edge  # the engine's library loads only where it is used

        params = self.params
        try:
            config = qdrant_edge.Bm25Config(k=params.k, b=params.b, avg_len=params.avg_len, language=params.language)
            return qdrant_edge.Bm25(config)
        except ValueError as error:
            raise SettingError(
                f"BM25 cannot be set up so: {error}; the setting term_language is a language in English, as in german"
            ) from error


def usable(params: SparseParams) -> SparseParams:
    """The parameters, if the engine takes them.

    Raises:
        SettingError: it does not, as for a language that it does not know.
    """
    SparseEncoder(params).encode_query("")
    return params


def _sorted(vector: qdrant_edge.SparseVector) -> SparseVector:
    pairs = sorted(zip(vector.indices, vector.values, strict=True))
    if not pairs:
        return EMPTY
    indices, values = zip(*pairs, strict=True)
    return SparseVector(indices, values)
