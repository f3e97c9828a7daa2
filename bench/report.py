"""Results: one JSON file a benchmark, with the machine, the versions and the date."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "ambit", "torch", "openvino", "sentence-transformers", "qdrant-edge-py", "qdrant-client", "sqlalchemy",
    "llama-index-core", "llama-index-vector-stores-qdrant", "llama-index-embeddings-huggingface", "unstructured",
    "pypdfium2", "haystack-ai", "qdrant-haystack", "sentence-transformers-haystack", "txtai", "faiss-cpu",
)  # fmt: skip

_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx_vnni", "avx2")


def publish(name: str, figures: dict[str, Any]) -> None:
    """Prints the closing line and writes bench/results/NAME.json."""
    result = {"name": name, **figures, "machine": machine(), "versions": versions()}
    result["date"] = datetime.now(UTC).isoformat(timespec="seconds")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    print("BENCH " + json.dumps(result, sort_keys=True), flush=True)


def machine() -> dict[str, Any]:
    """Processor, its widest instructions for encoding, cores and memory."""
    return {
        "cpu": _cpu(),
        "vectors": _vectors(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
        "python": sys.version.split()[0],
    }


def _cpu() -> str:
    return _told("model name") or platform.processor()


def _vectors() -> str:
    """The first of these that the processor has: what an encoder's speed hangs on more than on its model name."""
    having = set(_told("flags").split())
    return next((one for one in _INSTRUCTIONS if one in having), "")


def _told(name: str) -> str:
    """What the system says of the first processor under a name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
