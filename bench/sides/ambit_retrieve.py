"""Ambit's API over a prepared installation; at its end it tells how long each encoding and index search took."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from api.app import create_app
from api.runtime import Runtime
from bench import corpora
from core.settings import Settings
from core.telemetry import configure_logging
from policies.scope import readable
from policies.subject import Caller, resolve_subject


def main(what: str, data: str, argument: str) -> None:
    settings = Settings(data_dir=Path(data), log_level="error")
    configure_logging(settings)
    runtime = Runtime(settings, serving=True)
    tenant = runtime.prepare()
    runtime.warm_up()
    if what == "serve":
        serve(runtime, int(argument))
    else:
        print(json.dumps({"per_s": alone(runtime, tenant, int(argument))}))
    runtime.close()


def serve(runtime: Runtime, port: int) -> None:
    """Serves until standard input closes, then prints the milliseconds of encoding and search by request."""
    spent = Spent()
    spent.watch(runtime.stack.encoder, "encode_query")
    spent.watch(runtime.stack.index, "search")
    app = create_app(runtime, ready=lambda: {"index": True, "encoder": True})
    serve_until_told(app, port)
    print(json.dumps({"spent_ms": spent.by_request()}))


def serve_until_told(app: Any, port: int) -> None:
    """Runs an ASGI app on loopback until standard input closes."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", access_log=False))

    def wait() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()
    server.run()


class Spent:
    """Seconds within some methods, in the order of the calls."""

    def __init__(self) -> None:
        self.calls: dict[str, list[float]] = {}

    def watch(self, owner: Any, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, name)
        calls = self.calls.setdefault(name, [])

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*arguments, **named)
            finally:
                calls.append(time.perf_counter() - began)

        setattr(owner, name, timed)

    def by_request(self) -> list[float]:
        """For requests that came one after the other, each with one call of each method."""
        return [round(sum(each) * 1000, 4) for each in zip(*self.calls.values(), strict=False)]


def alone(runtime: Runtime, tenant: int, clients: int, seconds: float = 10.0) -> float:
    """Queries per second of encoding and index search with nothing around them."""
    with runtime.db.read() as session:
        scope = readable(session, resolve_subject(session, Caller(tenant, "staff")))
    texts, ends = corpora.queries(200), time.monotonic() + seconds

    def work(number: int) -> int:
        done = 0
        while time.monotonic() < ends:
            runtime.stack.search(texts[(number + done * clients) % len(texts)], scope, limit=20)
            done += 1
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        done = sum(pool.map(work, range(clients)))
    return round(done / (time.perf_counter() - began), 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
