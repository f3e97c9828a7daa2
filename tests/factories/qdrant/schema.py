"""How a collection is kept: from the client's words to the engine's, and back where a client asks."""

from __future__ import annotations

import re
from typing import Any

import qdrant_edge as engine
from qdrant_client import grpc as messages

from tests.factories.qdrant.refusal import chosen, only, unknown, wrong

_NAME = re.compile(r'[^<>:"/\\|?*\x00\x1f]{1,255}')
_LARGEST = 65_536
_DISTANCES = {messages.Distance.Cosine: engine.Distance.Cosine}
_M, _EF, _FULL_SCAN = 16, 100, 10_000
_KINDS = {"Keyword": messages.PayloadSchemaType.Keyword, "Integer": messages.PayloadSchemaType.Integer}


def check_collection(sent: Any) -> None:
    """Refuses what a server refuses to create."""
    only(
        sent, "collection_name", "hnsw_config", "shard_number", "on_disk_payload", "timeout", "vectors_config",
        "replication_factor", "write_consistency_factor", "quantization_config", "sparse_vectors_config",
    )  # fmt: skip
    if not _NAME.fullmatch(sent.collection_name):
        raise wrong(f"collection_name: {sent.collection_name!r} cannot name a collection")
    for key in ("shard_number", "replication_factor", "write_consistency_factor"):
        if sent.HasField(key) and getattr(sent, key) < 1:
            raise wrong(f"{key}: must be 1 or larger")
    for name, one in vectors(sent).items():
        if not 1 <= one.size <= _LARGEST:
            raise wrong(f"vectors.{name}.size: must be from 1 to {_LARGEST}")


def vectors(sent: Any) -> dict[str, Any]:
    """The dense vectors of a collection by name."""
    chosen(sent.vectors_config, "config", "params_map")
    return dict(sent.vectors_config.params_map.map)


def to_config(sent: Any) -> engine.EdgeConfig:
    """The engine's configuration of the one shard."""
    return engine.EdgeConfig(
        vectors={name: _dense(one) for name, one in vectors(sent).items()},
        sparse_vectors={name: _sparse(one) for name, one in sent.sparse_vectors_config.map.items()},
        on_disk_payload=sent.on_disk_payload,
        hnsw_config=_hnsw(sent.hnsw_config),
        quantization_config=_quantization(sent.quantization_config),
    )


def to_index(sent: Any) -> Any:
    """How one key of the payload is indexed."""
    kind = chosen(sent.field_index_params, "index_params", "keyword_index_params", "integer_index_params")
    params = getattr(sent.field_index_params, kind)
    stated = {field.name: value for field, value in params.ListFields()}
    if kind == "keyword_index_params":
        only(params, "is_tenant", "on_disk")
        return engine.KeywordIndexParams(**stated)
    only(params, "lookup", "range", "on_disk")
    if not stated.get("lookup", True) and not stated.get("range", True):
        raise wrong("the 'lookup' and 'range' capabilities can't be both disabled")
    return engine.IntegerIndexParams(**stated)


def describe(sent: Any, info: engine.ShardInfo) -> Any:
    """What a client is told of a collection that was made from `sent`."""
    told = messages.CollectionInfo(
        status=messages.CollectionStatus.Green,
        optimizer_status=messages.OptimizerStatus(ok=True),
        segments_count=info.segments_count,
        points_count=info.points_count,
        indexed_vectors_count=info.indexed_vectors_count,
    )
    config = told.config
    config.params.vectors_config.CopyFrom(sent.vectors_config)
    config.params.sparse_vectors_config.CopyFrom(sent.sparse_vectors_config)
    for key in ("shard_number", "on_disk_payload", "replication_factor", "write_consistency_factor"):
        setattr(config.params, key, getattr(sent, key))
    config.hnsw_config.MergeFrom(messages.HnswConfigDiff(m=_M, ef_construct=_EF, full_scan_threshold=_FULL_SCAN))
    config.hnsw_config.MergeFrom(sent.hnsw_config)
    config.optimizer_config.MergeFrom(
        messages.OptimizersConfigDiff(
            deleted_threshold=0.2, vacuum_min_vector_number=1000, default_segment_number=0, flush_interval_sec=5
        )
    )
    config.wal_config.MergeFrom(messages.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0))
    if sent.HasField("quantization_config"):
        config.quantization_config.CopyFrom(sent.quantization_config)
    for key, one in info.payload_schema.items():
        kind = _KINDS[str(one.data_type).rpartition(".")[2]]
        told.payload_schema[key].MergeFrom(messages.PayloadSchemaInfo(data_type=kind, points=one.points))
    return told


def _dense(sent: Any) -> engine.EdgeVectorParams:
    only(sent, "size", "distance", "on_disk")
    if sent.distance not in _DISTANCES:
        raise unknown(f"distance {sent.distance}")
    return engine.EdgeVectorParams(size=sent.size, distance=_DISTANCES[sent.distance], on_disk=sent.on_disk)


def _sparse(sent: Any) -> engine.EdgeSparseVectorParams:
    only(sent, "index", "modifier")
    only(sent.index, "on_disk")
    modifier = engine.Modifier.Idf if sent.modifier == messages.Modifier.Idf else None
    return engine.EdgeSparseVectorParams(modifier=modifier, on_disk=sent.index.on_disk)


def _hnsw(sent: Any) -> engine.HnswIndexConfig:
    only(sent, "m", "full_scan_threshold", "payload_m", "on_disk")
    return engine.HnswIndexConfig(
        m=sent.m if sent.HasField("m") else _M,
        ef_construct=_EF,
        full_scan_threshold=sent.full_scan_threshold if sent.HasField("full_scan_threshold") else _FULL_SCAN,
        payload_m=sent.payload_m if sent.HasField("payload_m") else None,
        on_disk=sent.on_disk,
    )


def _quantization(sent: Any) -> Any:
    kind = sent.WhichOneof("quantization")
    if kind is None:
        return None
    if kind == "scalar":
        only(sent.scalar, "type", "quantile", "always_ram")
        return engine.ScalarQuantizationConfig(
            type=engine.ScalarType.Int8, quantile=sent.scalar.quantile, always_ram=sent.scalar.always_ram
        )
    if kind == "binary":
        only(sent.binary, "always_ram")
        return engine.BinaryQuantizationConfig(always_ram=sent.binary.always_ram)
    raise unknown(f"QuantizationConfig.{kind}")
