"""Encoder, term weights, index and the live generation as one: what ingestion and retrieval use."""

from __future__ import annotations

import threading
from functools import cached_property

import numpy as np

from core.db import Database
from core.settings import Settings
from embed.encoders.base import Encoder, Tokenizer, Vectors
from embed.encoders.factory import make_encoder
from embed.encoders.verify import verify
from embed.generations import LiveGeneration, live_generation
from embed.index.base import CollectionSpec, Filters, Hit, PointRefusedError, SearchRequest, SparseVector, VectorIndex
from embed.index.factory import make_index
from embed.sparse import SparseEncoder, SparseParams
from policies.scope import ReadScope

_TERMS_PER_TOKEN = 0.4
"""Terms, stop words left out, that BM25 counts in a chunk for each token it may have; measured on English prose."""


class VectorStack:
    """Thread-safe. Making one opens nothing; parts open at first use or in `warm_up`."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._settings = settings
        self._db = db
        self._lock = threading.RLock()
        self._warming = threading.Lock()
        self._ready: set[str] = set()
        self._sparse: dict[int, SparseEncoder] = {}
        self._verified = False

    @property
    def index(self) -> VectorIndex:
        """The vector index."""
        with self._lock:
            return self._index

    @property
    def encoder(self) -> Encoder:
        """The dense encoder."""
        with self._lock:
            return self._encoder

    @property
    def tokenizer(self) -> Tokenizer:
        """The encoder's tokenizer; loads no weights."""
        return self.encoder.tokenizer

    def warm_up(self, *, weights: bool = True) -> None:
        """Opens the index and, with `weights`, loads the encoder and verifies it.

        Raises:
            EncoderMismatchError: the encoder does not belong to the live generation.
            IndexUnavailableError: the index cannot be opened.
            SettingError: the encoder is not on this machine.
        """
        self.generation()
        if weights:
            self._verify()

    def generation(self) -> LiveGeneration:
        """The live generation as SQL has it now, its collection standing; made at first use.

        Raises:
            EncoderMismatchError: it was made by another encoder; the message says to run re-embedding.
        """
        params = SparseParams(avg_len=_TERMS_PER_TOKEN * self._settings.chunk_tokens)
        live = live_generation(self._db, self.encoder, params)
        with self._lock:
            if live.collection not in self._ready:
                self._index.ensure(CollectionSpec(live.collection, live.dimension))
                self._ready.add(live.collection)
        return live

    def embed_passages(self, inputs: list[str]) -> list[tuple[Vectors, SparseVector]]:
        """For each encoder input its dense vector, of shape (dimension,), and its term weights, in the order given."""
        sparse = self._sparse_encoder(self.generation())
        self._verify()
        dense = self.encoder.encode_passages(inputs)
        return [(dense[place], sparse.encode_passage(text)) for place, text in enumerate(inputs)]

    def search(self, query: str, scope: ReadScope, *, limit: int, filters: Filters | None = None) -> list[Hit]:
        """The best hits for `query` that `scope` and `filters` allow, best first; not yet re-checked.

        A query of stop words alone is searched by its dense vector.

        Raises:
            PointRefusedError: the encoder gave a vector that is not finite or of another dimension.
        """
        if scope.empty or limit < 1:
            return []
        live = self.generation()
        self._verify()
        request = SearchRequest(
            dense=_usable(self.encoder.encode_query(query), live.dimension),
            sparse=self._sparse_encoder(live).encode_query(query),
            limit=limit,
            candidates=self._settings.search_candidates,
            filters=filters or Filters(),
        )
        return self.index.search(live.collection, request, scope)

    def close(self) -> None:
        """Flushes and releases the index."""
        with self._lock:
            if "_index" in self.__dict__:
                self._index.close()
            self._ready.clear()

    @cached_property
    def _index(self) -> VectorIndex:
        return make_index(self._settings)

    @cached_property
    def _encoder(self) -> Encoder:
        return make_encoder(self._settings)

    def _verify(self) -> None:
        """Once: loads the weights and holds their vectors against the reference."""
        encoder = self.encoder
        with self._warming:
            if not self._verified:
                encoder.warm_up()
                verify(encoder)
                self._verified = True

    def _sparse_encoder(self, live: LiveGeneration) -> SparseEncoder:
        with self._lock:
            if live.id not in self._sparse:
                self._sparse[live.id] = SparseEncoder(live.sparse)
            return self._sparse[live.id]


def _usable(vector: Vectors, dimension: int) -> Vectors:
    """The vector, unless a search with it would silently find by terms alone."""
    if vector.shape != (dimension,) or not np.isfinite(vector).all():
        raise PointRefusedError(f"the encoder gave a query vector that is not {dimension} finite numbers")
    return vector
