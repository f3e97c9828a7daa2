"""A real HTTP server on loopback whose answers a test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Reply]


def page(text: str, *links: str, **headers: str) -> Reply:
    """A page of HTML."""
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    body = f"<html><head><title>{text}</title></head><body><p>{text}</p>{anchors}</body></html>"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(200, body.encode(), {"content-type": "text/html; charset=utf-8", **named})


@dataclass
class Site:
    """Answers by path; a path without one is not found. `requests` holds what was asked."""

    url: str
    routes: dict[str, Reply | Handler] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        found = self.routes.get(request.path) or self.routes.get("*")
        if found is None:
            return Reply(404, b"not here", {"content-type": "text/plain"})
        reply = found(request) if callable(found) else found
        etag = reply.headers.get("etag")
        if etag is not None and request.headers.get("if-none-match") == etag:
            return Reply(304, b"", {"etag": etag})
        return reply

    def asked(self, path: str) -> int:
        return sum(one.path == path for one in self.requests)


@contextmanager
def serving() -> Iterator[Site]:
    """A site on a free port."""
    site = Site("")

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = site.answer(Request(parts.path, query, headers))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
