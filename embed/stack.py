"""Encoder, term weights, index and the live generation as one: what ingestion and retrieval use."""

from __future__ import annotations

import copy
import logging
import shlex
import threading
from functools import cached_property

from sqlalchemy import select

from core.db import Database
from core.errors import SettingError
from core.settings import Settings
from core.tables import ChunkPoint
from embed.encoders.base import Encoder, Tokenizer, Vectors
from embed.encoders.factory import make_encoder
from embed.encoders.remote import EncoderAnswerError
from embed.encoders.room import chunk_room
from embed.encoders.spec import canonical
from embed.encoders.verify import EncoderMismatchError, agreeing, sentences, verify
from embed.fusion import fusion_of
from embed.generations import LiveGeneration, live_generation, one_generation, reference_of, standing_generation
from embed.index.base import (
    CollectionSpec,
    Filters,
    Hit,
    IndexUnavailableError,
    SearchRequest,
    SparseVector,
    VectorIndex,
)
from embed.index.factory import make_index
from embed.index.points import wrong_vector
from embed.sparse import SparseEncoder, SparseParams, usable
from policies.scope import ReadScope

_log = logging.getLogger(__name__)

MEND = "`ambit serve` rebuilds it from the stored texts by itself; without it, run `ambit index repair`"

_TERMS_PER_TOKEN = 0.4
"""Terms, stop words left out, that BM25 counts in a chunk for each token it may have; measured on English prose."""


class VectorStack:
    """Thread-safe. Making one opens nothing; parts open at first use or in `warm_up`.

    `hosted`: an embedded index runs in a process of its own.
    """

    def __init__(self, settings: Settings, db: Database, *, hosted: bool = False) -> None:
        self._settings, self._hosted = settings, hosted
        self._db = db
        self._lock = threading.RLock()
        self._warming = threading.Lock()
        self._ready: set[str] = set()
        self._sparse: dict[int, SparseEncoder] = {}
        self._encoders: dict[str, Encoder] = {}
        self._verified: set[str] = set()
        self._live_model: str | None = None
        self._pinned: int | None = None
        self._fusion = fusion_of(settings)

    def pinned(self, number: int) -> VectorStack:
        """The same parts, searching generation `number` whichever is live."""
        _ = self.index  # one process opens it once
        view = copy.copy(self)
        vars(view)["_pinned"] = number
        return view

    @property
    def index(self) -> VectorIndex:
        """The vector index."""
        with self._lock:
            return self._index

    @property
    def encoder(self) -> Encoder:
        """The live generation's dense encoder; before any generation was looked at, the one that the settings name."""
        return self.encoder_of(self._live_model or self._settings.encoder)

    @property
    def tokenizer(self) -> Tokenizer:
        """The encoder's tokenizer; loads no weights."""
        return self.encoder.tokenizer

    @property
    def chunk_tokens(self) -> int:
        """Most tokens of a chunk's text: as set, but no more than the encoder reads.

        Raises:
            SettingError: it reads too little for any chunk.
        """
        standing = standing_generation(self._db)
        encoder = self.encoder_of(standing.model if standing else self._settings.encoder)
        return min(self._settings.chunk_tokens, chunk_room(encoder))

    def warm_up(self, *, weights: bool = True) -> None:
        """Opens the index and, with `weights`, loads the encoder and verifies it.

        Raises:
            EncoderMismatchError: the encoder does not belong to the live generation.
            IndexUnavailableError: the index cannot be opened.
            SettingError: the encoder is not on this machine.
        """
        live = self.generation()
        if self.lost(live):
            _log.warning("the index holds no point of collection %s, and SQL notes some: %s", live.collection, MEND)
        if told := self.unheeded(live):
            _log.warning("%s", told)
        if self.chunk_tokens < self._settings.chunk_tokens:
            _log.warning("chunks have at most %s tokens: the encoder reads no more at once", self.chunk_tokens)
        if weights:
            self._verified_encoder(live)

    def unheeded(self, live: LiveGeneration) -> str | None:
        """That a setting names another encoder or language than the index has, and what to do; None: none does."""
        stated, language = self._settings.encoder, self._settings.term_language
        if "term_language" in self._settings.model_fields_set and language != live.sparse.language:
            return (
                f"the setting term_language (AMBIT_TERM_LANGUAGE) says {language!r} and the index was made for "
                f"{live.sparse.language!r}: run `ambit reembed --language {language}` to change it, or mend the setting"
            )
        if "encoder" not in self._settings.model_fields_set or canonical(stated) == canonical(live.model):
            return None
        return (
            f"the setting encoder (AMBIT_ENCODER) says {stated!r} and the index was made by {live.model!r}, which "
            f"stays in use: run `ambit reembed --encoder {shlex.quote(stated)}` to change it, or mend the setting"
        )

    def generation(self, number: int | None = None) -> LiveGeneration:
        """The live generation as SQL has it now, or that of id `number`, its collection standing.

        The first one is made at first use, by the encoder that the settings name. From then on the row says which
        encoder makes the vectors, so that every process follows a switch at its next query.

        Raises:
            EncoderMismatchError: the live generation's encoder is not on this machine, or is not what it was.
            NotFoundError: there is no generation `number`.
        """
        number = self._pinned if number is None else number
        if number is None:
            found = live_generation(self._db, self._first_encoder, self._first_params)
            self._fitting(found)
            self._live_model = found.model
        else:
            found = one_generation(self._db, number)
        with self._lock:
            if found.collection not in self._ready:
                self._index.ensure(CollectionSpec(found.collection, found.dimension))
                self._ready.add(found.collection)
        return found

    def encoder_of(self, model: str) -> Encoder:
        """The encoder of that name or folder; its weights load at first use.

        Raises:
            SettingError: it is not on this machine.
        """
        with self._lock:
            if model == self._settings.encoder:
                return self._encoder
            if model not in self._encoders:
                self._encoders[model] = make_encoder(self._settings, model)
            return self._encoders[model]

    def lost(self, live: LiveGeneration) -> bool:
        """Whether the index is empty though SQL notes points in it, as after the loss of its folder."""
        with self._db.read() as session:
            noted = session.scalars(select(ChunkPoint.chunk_id).where(ChunkPoint.generation_id == live.id).limit(1))
            return noted.first() is not None and self.index.count(live.collection) == 0

    def drop(self, collection: str) -> None:
        """Removes a collection from the index."""
        with self._lock:
            self._ready.discard(collection)
            self._index.drop(collection)

    def embed_passages(
        self, inputs: list[str], generation: LiveGeneration | None = None
    ) -> list[tuple[Vectors, SparseVector]]:
        """For each encoder input its dense vector, of shape (dimension,), and its term weights, in the order given.

        Args:
            generation: whose encoder and term weights; None: the live one's.
        """
        chosen = generation or self.generation()
        sparse = self._sparse_encoder(chosen)
        dense = self._verified_encoder(chosen).encode_passages(inputs)
        return [(dense[place], sparse.encode_passage(text)) for place, text in enumerate(inputs)]

    def search(self, query: str, scope: ReadScope, *, limit: int, filters: Filters | None = None) -> list[Hit]:
        """The best hits for `query` that `scope` and `filters` allow, best first; not yet re-checked.

        A query of stop words alone is searched by its dense vector.

        Raises:
            EncoderAnswerError: the encoder gave a vector that is not finite, of length 1 and of the index's dimension.
            IndexUnavailableError: the index does not answer, or was lost and is not rebuilt yet.
        """
        if scope.empty or limit < 1:
            return []
        live = self.generation()
        request = SearchRequest(
            dense=_usable(self._verified_encoder(live).encode_query(query), live),
            sparse=self._sparse_encoder(live).encode_query(query),
            limit=limit,
            candidates=self._settings.search_candidates,
            filters=filters or Filters(),
            fusion=self._fusion,
        )
        hits = self.index.search(live.collection, request, scope)
        if not hits and self.lost(live):
            raise IndexUnavailableError(f"the index was lost: {MEND}")
        return hits

    def close(self) -> None:
        """Flushes and releases the index."""
        with self._lock:
            if "_index" in self.__dict__:
                self._index.close()
            self._ready.clear()

    @cached_property
    def _index(self) -> VectorIndex:
        return make_index(self._settings, hosted=self._hosted)

    @cached_property
    def _encoder(self) -> Encoder:
        return make_encoder(self._settings)

    def _first_params(self) -> SparseParams:
        params = SparseParams(avg_len=_TERMS_PER_TOKEN * self.chunk_tokens, language=self._settings.term_language)
        return usable(params)

    def _first_encoder(self) -> tuple[Encoder, str]:
        with self._lock:
            return self._encoder, self._settings.encoder

    def _fitting(self, generation: LiveGeneration) -> Encoder:
        """The generation's encoder, its weights not yet loaded.

        Raises:
            EncoderMismatchError: there is none of that name, or it makes vectors of another length.
        """
        advice = "bring it back, or build the index anew with `ambit reembed --encoder` (re-embedding)"
        try:
            encoder = self.encoder_of(generation.model)
        except SettingError as error:
            raise EncoderMismatchError(
                f"the index was made by {generation.encoder}: {error.detail}; {advice}"
            ) from error
        if (encoder.name, encoder.dimension) != (generation.encoder, generation.dimension):
            raise EncoderMismatchError(
                f"the index was made by {generation.encoder} ({generation.dimension} dimensions), and "
                f"{generation.model} is now {encoder.name} ({encoder.dimension}): {advice}"
            )
        return encoder

    def _verified_encoder(self, generation: LiveGeneration) -> Encoder:
        """The generation's encoder; once each, its weights are loaded and its vectors held against the reference."""
        encoder = self._fitting(generation)
        with self._warming:
            if generation.model not in self._verified:
                encoder.warm_up()
                if verify(encoder) is None:
                    self._compare(encoder, generation)
                self._verified.add(generation.model)
        return encoder

    def _compare(self, encoder: Encoder, generation: LiveGeneration) -> None:
        """Holds an encoder whose model is not known here against the one that first opened the generation.

        Raises:
            EncoderMismatchError: another backend, precision or version of it puts known sentences elsewhere.
        """
        mine = encoder.encode_passages(sentences())
        agreeing(encoder, reference_of(self._db, generation, mine), mine)

    def _sparse_encoder(self, live: LiveGeneration) -> SparseEncoder:
        with self._lock:
            if live.id not in self._sparse:
                self._sparse[live.id] = SparseEncoder(live.sparse)
            return self._sparse[live.id]


def _usable(vector: Vectors, live: LiveGeneration) -> Vectors:
    """The vector, unless a search with it would silently find by terms alone."""
    if wrong := wrong_vector(vector, live.dimension):
        raise EncoderAnswerError(
            f"encoder {live.encoder} failed at a query: {wrong}; run `ambit doctor`, and set encoder_backend to torch "
            "where it lasts"
        )
    return vector
