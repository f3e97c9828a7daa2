"""A real HTTP server that speaks the OpenAI chat protocol from a script; loopback only."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request gets.

    Attributes:
        text: the answer; streamed in `pieces`, or word by word.
        pieces: how the answer is cut in a stream.
        status: an error of the provider instead; its body quotes the request and its key, as some providers do.
        hang: no answer until the server stops.
        hang_after: a stream hangs after so many pieces.
        drop_after: the connection breaks after so many pieces.
        cut_after: the stream ends properly after so many pieces, but says neither why nor `[DONE]`.
        garbage: what is sent is no JSON.
        usage: whether usage is reported.
    """

    text: str = "Hello."
    pieces: Sequence[str] = ()
    status: int = 200
    hang: bool = False
    hang_after: int | None = None
    drop_after: int | None = None
    cut_after: int | None = None
    garbage: bool = False
    usage: bool = True


@dataclass(slots=True)
class OpenAIServer:
    """The running server: its base URL, the script (its last reply repeats), and what was asked of it."""

    url: str
    script: list[Reply]
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def next_reply(self) -> Reply:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@contextmanager
def openai_server(*script: Reply) -> Iterator[OpenAIServer]:
    """Serves the script on a free port of 127.0.0.1 until the block ends."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server = OpenAIServer(f"http://127.0.0.1:{http.server_address[1]}/v1", list(script or (Reply(),)))
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
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: OpenAIServer = self.server.script  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server.requests.append({"path": self.path, **body})
        server.keys.append(self.headers.get("authorization", ""))
        reply = server.next_reply()
        self.close_connection = True
        if reply.hang:
            server.stopping.wait(60)
        elif reply.status != 200:
            self._json(reply.status, {"error": {"message": f"bad key {server.keys[-1]} for {body}", "type": "x"}})
        elif body.get("stream"):
            self._stream(server, reply, include_usage=bool((body.get("stream_options") or {}).get("include_usage")))
        elif reply.garbage:
            self._send(200, "text/html", b"<html>It works!</html>")
        else:
            self._json(200, _whole(reply))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Says nothing."""

    def _json(self, status: int, body: Any) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, server: OpenAIServer, reply: Reply, *, include_usage: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("connection", "close")
        self.end_headers()
        if reply.garbage:
            self._chunk("data: {this is no JSON\n\n")
            return
        for place, piece in enumerate(reply.pieces or [word + " " for word in reply.text.split()]):
            if place == reply.drop_after:
                return
            if place == reply.hang_after:
                server.stopping.wait(60)
                return
            if place == reply.cut_after:
                self._chunk("")
                return
            self._event({"choices": [_choice(piece, None)]})
        self._event({"choices": [_choice(None, "stop")]})
        if reply.usage and include_usage:
            self._event({"choices": [], "usage": USAGE})
        self._chunk("data: [DONE]\n\n")
        self._chunk("")

    def _event(self, data: dict[str, Any]) -> None:
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
        self._chunk(f"data: {json.dumps({**head, **data})}\n\n")

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


def _choice(piece: str | None, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": {} if piece is None else {"content": piece}, "finish_reason": finish}


def _whole(reply: Reply) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.text}
    body: dict[str, Any] = {"id": "c1", "object": "chat.completion", "created": 1, "model": "scripted"}
    body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {**body, "usage": USAGE} if reply.usage else body
