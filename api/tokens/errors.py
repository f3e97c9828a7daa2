"""What is wrong with a token."""

from __future__ import annotations

from core.errors import UnauthenticatedError, UnavailableError


class TokenError(UnauthenticatedError):
    """The access token is not taken; the message says why: its form, signature, issuer, audience or time."""

    code = "token_invalid"
    title = "Access token not valid"


class IssuerUnavailableError(UnavailableError):
    """The issuer's keys cannot be fetched and none are held that are young enough, so no token can be checked."""

    code = "issuer_unavailable"
    title = "Token issuer does not answer"
