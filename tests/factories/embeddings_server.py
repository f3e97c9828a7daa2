"""A real HTTP server that speaks OpenAI's embeddings protocol over a real encoder, with faults on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Encode = Callable[[Sequence[str]], Any]
MOST = 2048


@dataclass(frozen=True, slots=True)
class Fault:
    """What one request gets instead of vectors.

    Attributes:
        status: an error whose body quotes text and key, as some providers do.
        data: these instead of the vectors, as in `{"data": ...}`.
        hang: no answer until the server stops.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    data: Any = None
    hang: bool = False


@dataclass(slots=True)
class EmbeddingsServer:
    """The running server: what it was asked, and the faults that come first."""

    url: str
    key: str
    model: str
    encode: Encode
    faults: list[Fault] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)


@contextmanager
def embeddings_server(encode: Encode, model: str, *faults: Fault, key: str = "right-key") -> Iterator[EmbeddingsServer]:
    """Serves on a free port of 127.0.0.1 until the block ends."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server = EmbeddingsServer(f"http://127.0.0.1:{http.server_address[1]}/v1", key, model, encode, list(faults))
    http.script = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_POST(self) -> None:
        server: EmbeddingsServer = self.server.script  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server.requests.append(body)
        fault = server.faults.pop(0) if server.faults else None
        if fault is not None and fault.hang:
            server.stopping.wait(60)
        elif fault is not None and fault.data is not None:
            self._send(200, fault.data)
        elif fault is not None:
            self._send(fault.status, _quoting(body, self.headers.get("authorization")), fault.headers)
        else:
            self._send(*_answer(server, self.path, self.headers.get("authorization"), body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Says nothing."""

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        sent = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)


def _answer(server: EmbeddingsServer, path: str, key: str | None, body: dict[str, Any]) -> tuple[int, Any]:
    texts = body.get("input")
    if key != f"Bearer {server.key}":
        return 401, _quoting(body, key)
    if path != "/v1/embeddings" or body.get("model") != server.model:
        return 404, _quoting(body, key)
    if not isinstance(texts, list) or not 0 < len(texts) <= MOST or not all(texts):
        return 400, _quoting(body, key)
    rows = [[float(one) for one in row[: body.get("dimensions")]] for row in server.encode(texts)]
    data = [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(rows)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return 200, {"object": "list", "data": data[::-1], "model": server.model, "usage": usage}


def _quoting(body: Any, key: str | None) -> dict[str, Any]:
    return {"error": {"message": f"bad key {key} or input {body}", "type": "invalid_request_error"}}
