"""An issuer's public keys: fetched through the guarded client, held, and renewed without letting anyone hammer it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from api.tokens.errors import IssuerUnavailableError
from core.errors import AmbitError
from core.issuers import Issuer
from core.outbound import Outbound
from core.telemetry import logger

MAX_BYTES = 512 * 1024
_PATIENCE_S = 2.0
_DISCOVERY = "/.well-known/openid-configuration"
_FAMILIES: Mapping[str, str] = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


@dataclass(frozen=True, slots=True)
class _Held:
    keys: Mapping[tuple[str, str], PyJWK] = field(default_factory=dict)
    fetched: float = float("-inf")


class IssuerKeys:
    """The keys of one issuer, by key id and algorithm. Thread-safe; one thread fetches while others use what is held.

    They are fetched again when they are older than `keys_ttl_s`, and when a token names a key that is not among them,
    but never twice within `keys_pause_s`. While the issuer does not answer, held keys serve up to `keys_max_age_s`.

    Args:
        clock: seconds that only grow; for tests.
    """

    def __init__(self, issuer: Issuer, http: Outbound, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._http, self._clock = issuer, http, clock
        self._held = _Held()
        self._tried = float("-inf")
        self._fetching = threading.Lock()

    def find(self, kid: str, algorithm: str) -> PyJWK | None:
        """The key that a token names; None where the issuer has no such key.

        Raises:
            IssuerUnavailableError: no keys are held that are young enough, and the issuer does not answer.
        """
        found = self._held.keys.get((kid, algorithm))
        if found is None or self._age() >= self._issuer.keys_ttl_s:
            self._renew(patience_s=0.0 if found else _PATIENCE_S if self._held.keys else 30.0)
            found = self._held.keys.get((kid, algorithm))
        if self._age() >= self._issuer.keys_max_age_s:
            raise IssuerUnavailableError(f"no keys of {self._issuer.issuer} that are young enough")
        return found

    def reach(self) -> int:
        """Fetches the keys now; how many fit the algorithms.

        Raises:
            AmbitError: they cannot be had; the message says why.
        """
        return len(self._fetch())

    def _age(self) -> float:
        return self._clock() - self._held.fetched

    def _renew(self, *, patience_s: float) -> None:
        """Fetches, unless that was tried a moment ago. Who cannot do without waits for another's fetch, so long."""
        if not self._fetching.acquire(timeout=patience_s):
            return
        try:
            if self._clock() - self._tried < self._issuer.keys_pause_s:
                return
            self._tried = self._clock()
            self._held = _Held(self._fetch(), self._clock())
        except AmbitError as error:
            logger().warning("issuer.keys_unfetched", code=error.code, reason=error.detail)
        finally:
            self._fetching.release()

    def _fetch(self) -> dict[tuple[str, str], PyJWK]:
        url = self._issuer.jwks_url or self._discovered()
        found: dict[tuple[str, str], PyJWK] = {}
        for one in self._json(url).get("keys") or ():
            for algorithm in self._issuer.algorithms:
                key = _usable(one, algorithm)
                if key is not None:
                    found[key.key_id or "", algorithm] = key
        if not found:
            raise IssuerUnavailableError(f"{self._issuer.issuer} names no key for {', '.join(self._issuer.algorithms)}")
        return found

    def _discovered(self) -> str:
        told = self._json(self._issuer.issuer.rstrip("/") + _DISCOVERY)
        if told.get("issuer") != self._issuer.issuer or not isinstance(told.get("jwks_uri"), str):
            raise IssuerUnavailableError(
                f"discovery of {self._issuer.issuer} speaks of another issuer or names no keys"
            )
        return str(told["jwks_uri"])

    def _json(self, url: str) -> dict[str, Any]:
        answer = self._http.get(url, headers={"accept": "application/json"}, max_bytes=MAX_BYTES, redirects=0)
        try:
            told = json.loads(answer.body) if answer.status == 200 else None
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise IssuerUnavailableError(
                f"{self._issuer.issuer} answered with status {answer.status} and no JSON object"
            )
        return told


def _usable(jwk: Any, algorithm: str) -> PyJWK | None:
    """The key for one algorithm; None where it is of another kind, for another use, or cannot be read."""
    if not isinstance(jwk, dict) or jwk.get("kty") != _FAMILIES[algorithm[:2]]:
        return None
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm or not isinstance(jwk.get("kid"), str):
        return None
    public = {name: value for name, value in jwk.items() if name not in {"d", "p", "q", "dp", "dq", "qi", "oth"}}
    try:
        return PyJWK(public, algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None
