"""The shortest way to a search: its body is read, a thread works, its answer is sent.

What FastAPI does around a route takes longer than a search's checks. A request that this way does not understand for
certain goes the ordinary one, with all it has brought, and is answered there: of what is refused before the search
begins nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.context import Context
from api.identity import Asking
from api.routes.retrieve import ROUTE, searched
from api.schemas.retrieval import RetrieveBody

_JSON = b"application/json"
_TOGETHER = 40
"""Searches worked on at once, as many as FastAPI's own threads."""


class Direct:
    """Serves `POST /v1/retrieve`, and gives everything else to the app.

    Args:
        context: the parts that the route is given.
    """

    def __init__(self, app: ASGIApp, *, context: Context) -> None:
        self._app, self._context = app, context
        self._workers = ThreadPoolExecutor(_TOGETHER, thread_name_prefix="ambit-search")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if not _is_search(scope):
            await self._app(scope, receive, send)
            return
        messages = await _whole(receive)
        body = _read(messages)
        if body is None:
            await self._app(scope, _Again(messages, receive), send)
            return
        scope["route"] = ROUTE
        asking = Asking.presented(Request(scope), self._context)
        answer = await asyncio.get_running_loop().run_in_executor(
            self._workers, copy_context().run, searched, asking, self._context, body
        )
        await send({"type": "http.response.start", "status": 200, "headers": _headers(answer)})
        await send({"type": "http.response.body", "body": answer})


class _Again:
    """Gives messages that were received once more, then what else is received."""

    def __init__(self, messages: Sequence[Message], receive: Receive) -> None:
        self._messages, self._receive = list(messages), receive

    async def __call__(self) -> Message:
        return self._messages.pop(0) if self._messages else await self._receive()


def _is_search(scope: Scope) -> bool:
    """Whether it is a search by everything but its body."""
    return bool(
        scope["type"] == "http"
        and scope["path"] == ROUTE.path
        and scope["method"] == "POST"
        and [value for name, value in scope["headers"] if name == b"content-type"] == [_JSON]
    )


async def _whole(receive: Receive) -> list[Message]:
    """The messages that bring the body, to its end or to where the client went away."""
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages


def _read(messages: Sequence[Mapping[str, Any]]) -> RetrieveBody | None:
    """The body; None where it is none of a search, which the ordinary way tells in its words."""
    if messages[-1]["type"] != "http.request":
        return None
    try:
        return RetrieveBody.model_validate_json(b"".join(one.get("body", b"") for one in messages))
    except ValidationError:
        return None


def _headers(answer: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", str(len(answer)).encode()), (b"content-type", _JSON)]
