"""`POST /v1/retrieve` at 100,000 chunks: what the checks and the audit add, and load against LlamaIndex's retriever."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from api import keys
from api.runtime import Runtime
from bench import corpora
from bench.processes import side
from core.settings import Settings
from policies.directory import put_app

CHUNKS = 100_000
REQUESTS = 300
CLIENTS = 16
SECONDS = 15.0
TOP = 10
_WARM = 20
_START_S = 180.0


def run(chunks: int = CHUNKS, requests: int = REQUESTS, seconds: float = SECONDS) -> dict[str, Any]:
    """Milliseconds beyond encoding and index search for one client, and requests a second of sixteen."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        key = prepared(Path(folder), chunks)
        headers = {"Authorization": f"Bearer {key}", "X-Ambit-User": "staff"}
        with _Served("ambit_retrieve", "serve", folder) as ours:
            walls = ours.one_client(requests, headers)
            spent = np.array(ours.stop()["spent_ms"][-requests:])
        with _Served("ambit_retrieve", "serve", folder) as ours:
            ours.one_client(_WARM, headers)  # the peer has answered one client by then too
            load = ours.many_clients(seconds, headers)
        with _Served("llamaindex_retrieve", folder) as peer:
            alone_peer, load_peer = peer.one_client(requests, {}), peer.many_clients(seconds, {})
        ceiling = side("ambit_retrieve", "alone", folder, str(CLIENTS))["per_s"]
    overhead = walls - spent
    return {
        "chunks": chunks,
        "overhead_ms_p50": _percentile(overhead, 50),
        "overhead_ms_p95": _percentile(overhead, 95),
        "encode_and_search_ms_p50": _percentile(spent, 50),
        "one_client_ms_p50": _percentile(walls, 50),
        "one_client_ms_p50_llamaindex": _percentile(alone_peer, 50),
        "clients": CLIENTS,
        "per_s": load["per_s"],
        "per_s_llamaindex": load_peer["per_s"],
        "per_s_encode_and_search_alone": ceiling,
        "throughput_ratio_vs_llamaindex": round(load["per_s"] / load_peer["per_s"], 3),
        "throughput_ratio_vs_encode_and_search_alone": round(load["per_s"] / ceiling, 3),
        "p95_ms": load["p95_ms"],
        "p95_ms_llamaindex": load_peer["p95_ms"],
    }


def prepared(folder: Path, chunks: int) -> str:
    """Fills an installation; returns the key of an app that acts for everyone."""
    runtime = Runtime(Settings(data_dir=folder, log_level="error"))
    try:
        tenant = runtime.prepare()
        corpora.build(runtime, tenant, chunks)
        with runtime.db.write() as session:
            put_app(session, tenant, "chat", acts_for=["everyone"])
            return keys.create(session, runtime.keyring, tenant, "chat", ["query"])[1]
    finally:
        runtime.close()


class _Served:
    """A side that serves on a free port until it is stopped."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._port = free_port()
        command = [sys.executable, "-m", f"bench.sides.{module}", *arguments, str(self._port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        ends = time.monotonic() + _START_S
        while time.monotonic() < ends and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return self
            time.sleep(0.1)
        self.__exit__()
        raise RuntimeError("the server did not start")

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.stop()

    def stop(self) -> dict[str, Any]:
        """Ends it; returns what it printed at last, if anything."""
        output, _ = self._process.communicate(timeout=60)
        lines = output.strip().splitlines()
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return found

    def one_client(self, requests: int, headers: Mapping[str, str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Milliseconds of each request, one after the other, once warm."""
        texts = corpora.queries(_WARM + requests)
        with _connected(self._port) as client:
            took = [_timed(client, text, headers) for text in texts]
        return np.array(took[_WARM:]) * 1000

    def many_clients(self, seconds: float, headers: Mapping[str, str]) -> dict[str, float]:
        """Requests a second and the 95th percentile of their time, by clients that each wait for their answer."""
        texts = corpora.queries(500)
        ends = time.monotonic() + seconds

        def work(number: int) -> list[float]:
            took: list[float] = []
            with _connected(self._port) as client:
                while time.monotonic() < ends:
                    took.append(_timed(client, texts[(number + len(took) * CLIENTS) % len(texts)], headers))
            return took

        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            took = [one for part in pool.map(work, range(CLIENTS)) for one in part]
        return {
            "per_s": round(len(took) / (time.perf_counter() - began), 2),
            "p95_ms": _percentile(np.array(took) * 1000, 95),
        }


@contextmanager
def _connected(port: int) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.connect()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield client
    finally:
        client.close()


def _timed(client: http.client.HTTPConnection, text: str, headers: Mapping[str, str]) -> float:
    """Seconds of one search."""
    body = json.dumps({"query": text, "top_k": TOP})
    began = time.perf_counter()
    client.request("POST", "/v1/retrieve", body, {"Content-Type": "application/json", **headers})
    answer = client.getresponse()
    payload = answer.read()
    took = time.perf_counter() - began
    if answer.status != 200 or len(json.loads(payload)["results"]) != TOP:
        raise RuntimeError(f"a search was answered with {answer.status}")
    return took


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _percentile(values: np.ndarray[Any, np.dtype[np.float64]], share: float) -> float:
    return round(float(np.percentile(values, share)), 2)
