"""What surrounds every request: an id, a limit on the body, a last resort for errors, headers, a measurement."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.problems import designed, log, request_id, respond
from core.audit import REQUEST

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'"),
    (b"cache-control", b"no-store"),
)


class Edge:
    """The outermost layer. No exception leaves it, so that no server prints one with what it holds.

    Args:
        max_body: largest request body in bytes.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, max_body: int) -> None:
        self._app, self._metrics, self._max_body = app, metrics, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        name = request_id(Request(scope))
        sending, told = _Sending(send, name), REQUEST.set(name)
        try:
            await self._serve(scope, receive, sending)
        finally:
            REQUEST.reset(told)
        self._metrics.observe(scope, sending.status, time.perf_counter() - began)

    async def _serve(self, scope: Scope, receive: Receive, sending: _Sending) -> None:
        request = Request(scope)
        try:
            _check_address(scope)
            self._check_length(request.headers)
            await self._app(scope, _Counted(receive, self._max_body), sending)
        except Exception as error:  # noqa: BLE001 - the edge: whatever went wrong is told without its text
            if sending.started:
                log(request, designed(error), error)
            else:
                await respond(request, error)(scope, receive, sending)

    def _check_length(self, headers: Headers) -> None:
        stated = headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > self._max_body:
            raise _too_large(self._max_body)


class _Sending:
    """Adds headers and remembers the status."""

    def __init__(self, send: Send, request: str) -> None:
        self._send, self._request = send, request.encode()
        self.started, self.status = False, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            given = list(message.get("headers", ()))
            names = {name for name, _ in given}
            added = [one for one in (*_HEADERS, (b"x-request-id", self._request)) if one[0] not in names]
            message["headers"] = given + added
        await self._send(message)


class _Counted:
    """A body that ends with an error once it is larger than allowed, whatever its header said."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._seen = receive, limit, 0

    async def __call__(self) -> Message:
        message: Any = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._limit:
            raise _too_large(self._limit)
        return dict(message)


def _check_address(scope: Scope) -> None:
    """Refuses what no name can hold and some databases choke on."""
    if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
        raise HTTPException(400)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than {limit // (1024 * 1024)} MiB")
