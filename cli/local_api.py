"""What `ambit serve` offers to the commands of its own machine under `/local/`: the index is its alone.

Plain ASGI around the public application. A caller must come from a loopback address and send the token of
`serve.json`, which only the folder's owner can read; anyone else gets the same 404 as for any unknown path.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from cli import asking
from cli.serving import LOCAL_PREFIX
from core.errors import AmbitError, InvalidError, NotFoundError
from core.telemetry import logger

if TYPE_CHECKING:
    from api.runtime import Runtime

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_HEADER = b"x-ambit-local"
MAX_BODY = 256 * 1024


class LocalApi:
    """The application with `/local/ask` and `/local/search` before it."""

    def __init__(self, app: App, runtime: Runtime, tenant: int, token: str) -> None:
        self._app, self._runtime, self._tenant = app, runtime, tenant
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or passes it on."""
        if scope["type"] != "http" or not _is_local_path(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._answer(scope, receive)
            await _respond(send, 200, body)
        except AmbitError as error:
            await _respond(send, error.status, problem(error))
        except Exception as error:  # noqa: BLE001 - an error's text may hold what was read
            logger().error("request.failed", route=LOCAL_PREFIX, reason=type(error).__name__)
            await _respond(send, 500, problem(AmbitError("an unforeseen error; the server's log says more")))

    async def _answer(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        if not self._admits(scope) or scope["method"] != "POST":
            raise NotFoundError("there is nothing at this address")
        work = {"ask": asking.answer, "search": asking.search}.get(scope["path"].removeprefix(f"{LOCAL_PREFIX}/"))
        if work is None:
            raise NotFoundError("there is nothing at this address")
        asked = parse(await _body(receive))
        return await asyncio.to_thread(work, self._runtime, self._tenant, asked)

    def _admits(self, scope: Scope) -> bool:
        sent = [value for name, value in scope["headers"] if name.lower() == TOKEN_HEADER]
        known = len(sent) == 1 and hmac.compare_digest(sent[0], self._token)
        return known and _is_loopback(scope.get("client"))


def parse(raw: bytes) -> asking.Asked:
    """The question in a request's body.

    Raises:
        InvalidError: it holds none.
    """
    try:
        body = json.loads(raw)
        return asking.Asked(**body)
    except (ValueError, TypeError, RecursionError):
        raise InvalidError("the body is no question; write query, user, top_k, model as JSON") from None


def problem(error: AmbitError) -> Mapping[str, Any]:
    """What an error says, for the command at the other end."""
    return {"title": error.title, "status": error.status, "detail": error.detail, "code": error.code}


def _is_local_path(path: str) -> bool:
    return path == LOCAL_PREFIX or path.startswith(f"{LOCAL_PREFIX}/")


def _is_loopback(client: tuple[str, int] | None) -> bool:
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidError("the body ended early")
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY:
            raise InvalidError(f"the body is larger than {MAX_BODY} bytes")
        if not message.get("more_body", False):
            return body


async def _respond(send: Send, status: int, body: Mapping[str, Any]) -> None:
    raw = json.dumps(body, ensure_ascii=False).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(raw)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})
