"""What connectors that speak HTTP share: secrets in headers, waiting when asked to, errors in their words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from core.addresses import BlockedError
from core.errors import AmbitError, InvalidError
from core.outbound import Answer, AnswerTooLargeError, Outbound, shown
from ingest.connectors.secret_ref import SecretRef
from ingest.model import ConnectorContext, ItemError, SourceError, VanishedError

GONE = frozenset({401, 403, 404, 410, 451})
"""Statuses of what a reader without special rights is not shown: it is not shown here either."""
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT_S = 30.0
"""A longer `Retry-After` ends the listing, which a later try resumes: a lease must not run out meanwhile."""


def secret_headers(headers: Mapping[str, str | SecretRef], context: ConnectorContext) -> dict[str, str]:
    """Headers with the values of the secrets they name.

    Raises:
        InvalidError: a secret is not there.
    """
    return {name: secret_value(value, context, f"config.headers.{name}") for name, value in headers.items()}


def secret_value(value: str | SecretRef, context: ConnectorContext, where: str) -> str:
    """A plain value, or that of the secret it names.

    Raises:
        InvalidError: the secret is not there.
    """
    if not isinstance(value, SecretRef):
        return value
    if value.secret not in context.secrets:
        raise InvalidError(f"{where}: there is no secret {value.secret!r}")
    return context.secrets[value.secret]


class Polite:
    """Asks one server: never faster than `delay_s`, waiting as long as it says, trying again when it is busy."""

    def __init__(
        self,
        outbound: Outbound,
        *,
        delay_s: float = 0.0,
        tries: int = 3,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._outbound, self.delay_s, self._tries, self._sleep = outbound, delay_s, tries, sleep
        self._next = 0.0
        self._lock = threading.Lock()

    def get(self, url: str, **options: object) -> Answer:
        """As `Outbound.get`; an answer that says busy is asked for again, the last one is given as it is."""
        for attempt in range(1, self._tries + 1):
            self._pace()
            answer = self._outbound.get(url, **options)  # type: ignore[arg-type]
            wait = answer.retry_after if answer.retry_after is not None else 0.5 * 2**attempt
            if answer.status not in BUSY or attempt == self._tries or wait > LONGEST_WAIT_S:
                return answer
            self._sleep(wait)
        raise AssertionError("tries is at least 1")

    def _pace(self) -> None:
        if not self.delay_s:
            return
        with self._lock:
            wait = self._next - time.monotonic()
            self._next = max(time.monotonic(), self._next) + self.delay_s
        if wait > 0:
            self._sleep(wait)


def item_error(item: str, error: AmbitError) -> ItemError:
    """What an error of the client means for one object."""
    if isinstance(error, AnswerTooLargeError):
        return ItemError("file_too_large", f"{item}: {error.detail}")
    if isinstance(error, BlockedError):
        return ItemError("address_blocked", f"{item}: {error.detail}")
    return ItemError("server_failed", f"{item}: {error.detail}", transient=True)


def expect(item: str, answer: Answer) -> Answer:
    """`answer` if it is a success.

    Raises:
        VanishedError: the object is not there, or not for us.
        ItemError: `item_changed` (transient): it redirects, as it did not when it was listed; `server_failed`.
    """
    if answer.status in GONE:
        raise VanishedError(f"{item} is gone ({answer.status})")
    if 300 <= answer.status < 400:
        raise ItemError("item_changed", f"{item} leads elsewhere since it was listed", transient=True)
    if not 200 <= answer.status < 300:
        raise ItemError("server_failed", f"{item}: status {answer.status}", transient=answer.status in BUSY)
    return answer


def source_error(error: AmbitError) -> SourceError:
    """What an error of the client means for the whole source."""
    return SourceError(error.detail)


def refused(answer: Answer) -> SourceError:
    """The listing cannot go on after this answer."""
    wait = f"; it asks to wait {answer.retry_after:.0f} s" if answer.retry_after is not None else ""
    return SourceError(f"{shown(answer.url)}: status {answer.status}{wait}", retry_after_s=answer.retry_after)
