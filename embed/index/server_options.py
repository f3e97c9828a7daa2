"""How collections on a Qdrant server are kept: copies, shards, what is on disk, what is quantised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core.settings import Settings
from embed.index.base import CollectionSpec
from embed.index.points import DENSE, SPARSE

if TYPE_CHECKING:
    from qdrant_client import models

FULL_SCAN_KB = 60_000
TENANT_KEY = "tenant_key"
"""The tenant once more, as text: only a keyword can tell the server what to keep together on disk."""

_LINKS = 16
_OVERSAMPLING = 2.0


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a new collection is made with; one that stands is left as it is, but for reads.

    Attributes:
        write_acknowledged: replicas that must have a write before it returns; 0: a majority of them.
        read: how many replicas must agree on what is read; `one` where there is one.
        on_disk: whether vectors, graph, terms and payload are read from disk instead of being held in memory.
        quantisation: `scalar` (8 bits a number) or `binary` (one) for a first look; the full vectors decide.
    """

    replicas: int = 1
    shards: int = 1
    write_acknowledged: int = 0
    read: Literal["one", "majority", "quorum", "all"] = "majority"
    on_disk: bool = False
    quantisation: Literal["none", "scalar", "binary"] = "none"

    @classmethod
    def of(cls, settings: Settings) -> ServerOptions:
        """Those of the settings."""
        return cls(
            replicas=settings.index_replicas,
            shards=settings.index_shards,
            write_acknowledged=settings.index_write_acknowledged,
            read=settings.index_read_consistency,
            on_disk=settings.index_on_disk,
            quantisation=settings.index_quantisation,
        )

    def collection(self, spec: CollectionSpec) -> dict[str, Any]:
        """Arguments of `create_collection`."""
        from qdrant_client import models

        dense = models.VectorParams(size=spec.dimension, distance=models.Distance.COSINE, on_disk=self.on_disk)
        sparse = models.SparseVectorParams(
            modifier=models.Modifier.IDF, index=models.SparseIndexParams(on_disk=self.on_disk)
        )
        return {
            "vectors_config": {DENSE: dense},
            "sparse_vectors_config": {SPARSE: sparse},
            "hnsw_config": models.HnswConfigDiff(
                full_scan_threshold=FULL_SCAN_KB, payload_m=_LINKS, on_disk=self.on_disk
            ),
            "on_disk_payload": self.on_disk,
            "quantization_config": self._quantisation(),
            "shard_number": self.shards,
            "replication_factor": self.replicas,
            "write_consistency_factor": min(self.write_acknowledged or self.replicas // 2 + 1, self.replicas),
        }

    def payload_index(self, key: str) -> models.KeywordIndexParams | models.IntegerIndexParams:
        """How one key of the payload is indexed: the time by ranges, the tenant as such, the others by equality."""
        from qdrant_client import models

        on_disk = self.on_disk or None
        if key == TENANT_KEY:
            return models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True, on_disk=on_disk)
        ranged = key == "modified"
        return models.IntegerIndexParams(
            type=models.IntegerIndexType.INTEGER, lookup=not ranged, range=ranged, on_disk=on_disk
        )

    def consistency(self) -> models.ReadConsistency | None:
        """What a read asks of the replicas; None: the one that answers."""
        from qdrant_client import models

        return None if self.replicas == 1 or self.read == "one" else models.ReadConsistencyType(self.read)

    def search(self, *, exact: bool) -> models.QuantizationSearchParams | None:
        """How quantised vectors are used: not for an exact search, else for a first look twice as wide."""
        from qdrant_client import models

        if self.quantisation == "none":
            return None
        if exact:
            return models.QuantizationSearchParams(ignore=True)
        return models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING)

    def _quantisation(self) -> models.ScalarQuantization | models.BinaryQuantization | None:
        from qdrant_client import models

        if self.quantisation == "scalar":
            kind = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
            return models.ScalarQuantization(scalar=kind)
        if self.quantisation == "binary":
            return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
        return None
