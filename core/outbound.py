"""The one client for HTTP to addresses that others chose: nothing inside the network can be reached through it.

A host name is resolved once for each connection, every address is checked, and the connection goes to an address that
was checked: a name that changes its answer in between (DNS rebinding) changes nothing. Each redirect is a new request
with checks of its own.
"""

from __future__ import annotations

import email.utils
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeAlias

import httpcore
import httpx

from core.addresses import AllowList, BlockedError, OutboundError, Resolver, resolve
from core.errors import AmbitError

Limit: TypeAlias = Callable[[str], bool]

USER_AGENT = "Ambit/0.1"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE_HEADERS = frozenset({"accept", "accept-language", "if-modified-since", "if-none-match", "user-agent"})
_deadline: ContextVar[float] = ContextVar("outbound_deadline", default=float("inf"))


class OutsideError(BlockedError):
    """A redirect leads out of what the caller reads."""


class AnswerTooLargeError(AmbitError):
    """Another server's answer is above the limit."""

    code = "outbound_too_large"
    status = 502
    title = "Answer too large"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        url: where it came from after redirects.
        body: empty where the caller did not want it.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    url: str

    @property
    def mime(self) -> str:
        """The content type without parameters, in lower case; empty where none is given."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait that the server asks for (RFC 9110, 10.2.3); None: it does not."""
        return retry_after(self.headers.get("retry-after"), datetime.now(UTC))


class _Timed(httpcore.NetworkStream):
    """A connection whose reads and writes end at the request's deadline, however slowly the server drips."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Timed(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(timeout: float | None, error: type[Exception]) -> float:
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise error("the time for the whole request is over")
    return min(left, timeout if timeout is not None else left)


class _Guarded(httpcore.NetworkBackend):
    """Opens connections to addresses that were checked."""

    def __init__(self, allow: AllowList, resolver: Resolver) -> None:
        self._allow, self._resolve = allow, resolver
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = self._allow.check(host, self._resolve(host, port))
        for number, address in enumerate(addresses, start=1):
            try:
                left = _left(timeout, httpcore.ConnectTimeout)
                return _Timed(self._inner.connect_tcp(address, port, left, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise BlockedError("sockets of this machine are not reached")


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes tens of milliseconds; every client may share them."""
    return httpx.create_ssl_context(trust_env=False)


class _Transport(httpx.HTTPTransport):
    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(),
            max_connections=16,
            max_keepalive_connections=4,
            keepalive_expiry=30,
            network_backend=backend,
        )


class Outbound:
    """Asks servers that a configuration or a document names; may be used from several threads.

    Args:
        allow: networks, addresses and host names that may be reached although they are not public.
        timeout_s: seconds one request may take from its start to the last byte, each redirect anew.
        resolver: gives the addresses of a host; for tests.
    """

    def __init__(
        self,
        allow: Iterable[str] = (),
        *,
        timeout_s: float = 30.0,
        user_agent: str = USER_AGENT,
        resolver: Resolver = resolve,
    ) -> None:
        self._timeout_s = timeout_s
        self._client = httpx.Client(
            transport=_Transport(_Guarded(AllowList(allow), resolver)),
            timeout=timeout_s,
            trust_env=False,
            follow_redirects=False,
            headers={"user-agent": user_agent, "accept-encoding": "identity"},
        )

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int,
        redirects: int = 5,
        within: Limit | None = None,
        wanted: Callable[[Answer], bool] | None = None,
    ) -> Answer:
        """What a server answers, of whatever status, after at most `redirects` redirects.

        Headers but those of caching and language are not sent on to another origin.

        Args:
            max_bytes: the largest body that is read.
            within: says of each address that a redirect leads to whether it may be asked.
            wanted: says of an answer without its body whether the body is to be read; absent: always.

        Raises:
            BlockedError: the address, or one it redirects to, may not be reached; `OutsideError`: `within` says so.
            AnswerTooLargeError: the body is above `max_bytes`.
            OutboundError: no answer, or none in time.
        """
        sent = dict(headers or {})
        for _ in range(redirects + 1):
            answer = self._once("GET", checked_url(url), sent, max_bytes, wanted=wanted)
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or target is None or redirects == 0:
                return answer
            onward = _onward(url, target, within)
            if origin(onward) != origin(url):
                sent = {name: value for name, value in sent.items() if name.lower() in _SAFE_HEADERS}
            url = onward
        raise OutboundError(f"{shown(url)}: more than {redirects} redirects")

    def post(
        self,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int,
        timeout_s: float | None = None,
    ) -> Answer:
        """What a server answers to a body, of whatever status; a redirect is an answer like any other.

        Args:
            max_bytes: the largest body that is read.
            timeout_s: seconds this request may take; None: as any other.

        Raises:
            BlockedError: the address may not be reached.
            AnswerTooLargeError: the answer's body is above `max_bytes`.
            OutboundError: no answer, or none in time.
        """
        return self._once("POST", checked_url(url), dict(headers or {}), max_bytes, body=body, timeout_s=timeout_s)

    def close(self) -> None:
        """Closes every connection."""
        self._client.close()

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        max_bytes: int,
        *,
        wanted: Callable[[Answer], bool] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        token = _deadline.set(time.monotonic() + (timeout_s or self._timeout_s))
        try:
            with self._client.stream(method, url, headers=dict(headers), content=body) as response:
                answer = Answer(response.status_code, response.headers, b"", url)
                if wanted is not None and not wanted(answer):
                    return answer
                return Answer(answer.status, answer.headers, _body(response, max_bytes, url), url)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise OutboundError(f"{shown(url)}: {type(error).__name__}") from None
        finally:
            self._client.cookies.clear()
            _deadline.reset(token)


def _body(response: httpx.Response, limit: int, url: str) -> bytes:
    length = response.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise AnswerTooLargeError(f"{shown(url)}: {length} bytes; the limit is {limit}")
    parts: list[bytes] = []
    total = 0
    for part in response.iter_bytes():
        total += len(part)
        if total > limit:
            raise AnswerTooLargeError(f"{shown(url)}: more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _onward(url: str, target: str, within: Limit | None) -> str:
    try:
        onward = str(httpx.URL(url).join(target))
    except (httpx.InvalidURL, ValueError):
        raise BlockedError(f"{shown(url)} redirects to something that is no address") from None
    checked_url(onward)
    if url.startswith("https:") and not onward.startswith("https:"):
        raise BlockedError(f"{shown(url)} redirects to an address without TLS")
    if within is not None and not within(onward):
        raise OutsideError(f"{shown(url)} redirects out of what is read")
    return onward


def checked_url(url: str) -> str:
    """`url` if it is one of HTTP or HTTPS with a host and without a password.

    Raises:
        BlockedError: it is not.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, TypeError):
        raise BlockedError("the address is no URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BlockedError(f"{shown(url)}: only http:// and https:// are reached")
    if parsed.userinfo:
        raise BlockedError(f"{shown(url)}: an address holds no user name or password")
    return url


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address."""
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


def shown(url: str) -> str:
    """An address for messages: without user name, password and query, which may hold secrets."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return "an address"
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{parsed.host}{port}{parsed.path}"


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date; None where it is neither."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value.strip())
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
