"""Checks an access token: who signed it, for whom, until when. Nothing in it is believed before its signature is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from jwt import exceptions as wrong

from api.tokens.errors import TokenError
from api.tokens.keys import IssuerKeys
from core.issuers import Issuer
from core.outbound import Outbound

LONGEST = 32 * 1024
_SUBJECT_MAX = 255
_REASONS: Mapping[type[Exception], str] = {
    wrong.ExpiredSignatureError: "it has expired; get a new one",
    wrong.InvalidAudienceError: "it is for another audience",
    wrong.InvalidIssuerError: "it is of another issuer",
    wrong.ImmatureSignatureError: "it is not valid yet; compare the clocks",
    wrong.InvalidIssuedAtError: "it was issued in the future; compare the clocks",
    wrong.InvalidSignatureError: "its signature does not fit the issuer's key",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was checked.

    Attributes:
        subject: the person's id at the issuer.
        client: the client that the person used; None where it does not say.
        groups: values of the groups claim; empty with `overage`.
        overage: it has more groups than it can name, or than are taken.
        attributes: those that the issuer's settings map.
        ends_at: its expiry, with the leeway.
    """

    issuer: Issuer
    subject: str
    client: str | None
    groups: tuple[str, ...]
    overage: bool
    attributes: Mapping[str, Any]
    ends_at: datetime


class Tokens:
    """Checks tokens of the configured issuers; may be used from several threads.

    Args:
        allow: addresses that may be reached although they are not public, as in `core.outbound`.
    """

    def __init__(self, issuers: Iterable[Issuer], allow: Iterable[str] = ()) -> None:
        self._http = Outbound(allow, timeout_s=10.0)
        self._issuers = {one.issuer: (one, IssuerKeys(one, self._http)) for one in issuers}

    @property
    def any(self) -> bool:
        """Whether there is an issuer at all."""
        return bool(self._issuers)

    def reach(self, issuer: str) -> int:
        """How many keys an issuer has that fit its algorithms, asked now.

        Raises:
            AmbitError: they cannot be had; the message says why.
        """
        return self._issuers[issuer][1].reach()

    def check(self, text: str) -> Token:
        """What a token says, once all of it holds.

        Raises:
            TokenError: something does not; the message says what.
            IssuerUnavailableError: the issuer's keys cannot be had.
        """
        if len(text) > LONGEST:
            raise _refused(f"it is longer than {LONGEST} characters")
        issuer, keys = self._issuer(text)
        header = _header(text)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in issuer.algorithms:
            raise _refused(f"its signature is none of {', '.join(issuer.algorithms)}")
        if not isinstance(kid, str) or not kid:
            raise _refused("its header names no key (kid)")
        key = keys.find(kid, str(algorithm))
        if key is None:
            raise _refused("its header names a key that the issuer does not have")
        return _token(issuer, _claims(text, key, str(algorithm), issuer))

    def close(self) -> None:
        """Closes connections."""
        self._http.close()

    def _issuer(self, text: str) -> tuple[Issuer, IssuerKeys]:
        """Whose keys to try, by the claim that nobody has vouched for yet; only configured issuers are looked up."""
        try:
            told = jwt.decode(text, options={"verify_signature": False})
        except (wrong.PyJWTError, ValueError, RecursionError):
            raise _refused("it is no JWT") from None
        found = self._issuers.get(told["iss"]) if isinstance(told.get("iss"), str) else None
        if found is None:
            raise _refused("it is of an issuer that is not configured (AMBIT_OIDC)")
        return found


def _header(text: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(text)
    except (wrong.PyJWTError, ValueError, RecursionError):
        raise _refused("its header cannot be read") from None


def _claims(text: str, key: jwt.PyJWK, algorithm: str, issuer: Issuer) -> dict[str, Any]:
    required = ["exp", "iss", "aud", issuer.subject_claim]
    try:
        return jwt.decode(
            text,
            key,
            algorithms=[algorithm],
            audience=list(issuer.audience),
            issuer=issuer.issuer,
            leeway=issuer.leeway_s,
            options={"require": required, "enforce_minimum_key_length": True},
        )
    except wrong.MissingRequiredClaimError as error:
        raise _refused(f"it lacks the claim {error.claim}") from None
    except (wrong.PyJWTError, ValueError, OverflowError, RecursionError) as error:
        raise _refused(_REASONS.get(type(error), "it does not hold")) from None


def _token(issuer: Issuer, claims: Mapping[str, Any]) -> Token:
    subject = claims[issuer.subject_claim]
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_MAX or not subject.isprintable():
        raise _refused(f"its claim {issuer.subject_claim} is no id")
    groups, overage = _groups(issuer, claims)
    client = claims.get(issuer.app_claim)
    return Token(
        issuer=issuer,
        subject=subject,
        client=client if isinstance(client, str) else None,
        groups=groups,
        overage=overage,
        attributes=_attributes(issuer, claims),
        ends_at=_instant(claims["exp"]) + timedelta(seconds=issuer.leeway_s),
    )


def _instant(exp: Any) -> datetime:
    try:
        return datetime.fromtimestamp(int(exp), UTC)
    except (ValueError, OverflowError, OSError):
        raise _refused("its expiry is no time") from None


def _groups(issuer: Issuer, claims: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The groups claim; whether it is known not to be whole.

    Entra leaves the claim out and says so in `_claim_names` or `hasgroups` where there are too many. A claim of
    another shape than a list of texts is taken as not whole either.
    """
    name = issuer.groups_claim
    if name is None:
        return (), False
    names = claims.get("_claim_names")
    if claims.get("hasgroups") in (True, "true") or (isinstance(names, dict) and name in names):
        return (), True
    told = claims.get(name, [])
    if not isinstance(told, list) or len(told) > issuer.groups_max or not all(isinstance(one, str) for one in told):
        return (), True
    return tuple(told), False


def _attributes(issuer: Issuer, claims: Mapping[str, Any]) -> dict[str, Any]:
    """Mapped claims that are plain values or lists of texts; anything else is left out, and so missing."""
    found = {}
    for claim, name in issuer.attributes.items():
        value = claims.get(claim)
        texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if isinstance(value, str | int | float | bool) or texts:
            found[name] = value
    return json.loads(json.dumps(found)) if found else {}


def _refused(reason: str) -> TokenError:
    return TokenError(f"the access token is not taken: {reason}")
