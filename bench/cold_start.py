"""From the start of `ambit serve` to its first answer, and what it holds when idle, over 10,000 chunks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from bench import corpora
from bench.processes import tree_mb
from bench.retrieve import free_port, prepared

CHUNKS = 10_000
TIMES = 3
_IDLE_S = 5.0
_START_S = 120.0


def measured(chunks: int = CHUNKS) -> dict[str, Any]:
    """Seconds (the median of several starts, the encoder exported by then), MiB, and the heavy libraries loaded."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        key = prepared(Path(folder) / "data", chunks)
        _started(Path(folder), key)
        runs = [_started(Path(folder), key) for _ in range(TIMES)]
    heavy = sorted({name for run in runs for name in run["heavy"]})
    if {"torch", "llama_index"} & set(heavy):
        raise RuntimeError(f"the server loaded {heavy} to answer")
    return {
        "cold_start_s": round(sorted(run["seconds"] for run in runs)[TIMES // 2], 2),
        "idle_mb": round(max(run["idle_mb"] for run in runs)),
        "heavy_libraries_loaded": ", ".join(heavy) or "none",
    }


def _started(folder: Path, key: str) -> dict[str, Any]:
    """One start: seconds to the first answer, MiB of the process tree some seconds later, heavy libraries.

    Compiled modules are kept from the first start on, as Python does unless it is told not to.
    """
    told, port = folder / "told.json", free_port()
    command = [sys.executable, "-m", "bench.sides.ambit_serve", str(folder / "data"), str(port), str(told)]
    began = time.perf_counter()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    try:
        _answered(process, f"http://127.0.0.1:{port}", key)
        seconds = time.perf_counter() - began
        time.sleep(_IDLE_S)
        idle = tree_mb(process.pid)
    finally:
        process.terminate()
        process.wait(60)
    return {"seconds": seconds, "idle_mb": idle, "heavy": json.loads(told.read_text(encoding="utf-8"))}


def _answered(process: subprocess.Popen[bytes], url: str, key: str) -> None:
    """Asks until there is an answer with passages."""
    body = {"query": corpora.queries(1)[0]}
    headers = {"Authorization": f"Bearer {key}", "X-Ambit-User": "staff"}
    ends = time.monotonic() + _START_S
    with httpx.Client(trust_env=False, timeout=60) as client:
        while time.monotonic() < ends and process.poll() is None:
            try:
                answer = client.post(f"{url}/v1/query", json=body, headers=headers)
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            if answer.status_code == 200 and answer.json()["passages"]:
                return
            time.sleep(0.05)
    raise RuntimeError("the server gave no answer")
