"""A LlamaIndex embedding class over the bundled model, as a user's own package would bring one."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from embed.encoders.files import find_model
from embed.encoders.torch import TorchEncoder


class MiniLmEmbedding(BaseEmbedding):  # type: ignore[misc]
    """`query_instruction` stands before queries; `key` must be `right` where one is given."""

    model: str
    query_instruction: str = ""
    key: str | None = None
    _encoder: TorchEncoder = PrivateAttr()

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.key not in (None, "right"):
            raise ValueError(f"no such key: {self.key}")
        self._encoder = TorchEncoder(find_model(self.model), threads=1)

    def _get_query_embedding(self, query: str) -> list[float]:
        return [float(one) for one in self._encoder.encode_query(self.query_instruction + query)]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(one) for one in self._encoder.encode_passages([text])[0]]
