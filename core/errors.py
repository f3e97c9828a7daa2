"""Errors with a stable code: what was wrong, what to do, and whether trying again can help."""

from __future__ import annotations

from typing import Any, ClassVar


class AmbitError(Exception):
    """Base of every designed error.

    Subclasses state their `code` (stable, documented in docs/errors.md), HTTP `status`, `title`, and `transient`:
    whether the same call may succeed later without anyone changing anything. The message names the bad value and
    what to do; it never holds document text or a secret.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    transient: ClassVar[bool] = False

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class NotFoundError(AmbitError):
    """The thing does not exist, or the caller may not know that it does."""

    code = "not_found"
    status = 404
    title = "Not found"


class InvalidError(AmbitError):
    """A value the caller sent cannot be accepted; `extra['errors']` lists the fields."""

    code = "invalid"
    status = 422
    title = "Invalid request"


class ConflictError(AmbitError):
    """The change does not fit the present state."""

    code = "conflict"
    status = 409
    title = "Conflict"


class HeldError(AmbitError):
    """The change was not made: it widens access so far that a second person must approve it.

    `extra['approval']` is the id under which it waits.
    """

    code = "held"
    status = 202
    title = "Held for a second person"


class StaleApprovalError(ConflictError):
    """What was approved would no longer do what was shown; nothing was changed, and it must be proposed anew."""

    code = "approval_stale"
    title = "No longer what was shown"


class UnauthenticatedError(AmbitError):
    """No credential, or one that is unknown, expired or revoked."""

    code = "unauthenticated"
    status = 401
    title = "Not authenticated"


class ForbiddenError(AmbitError):
    """The credential is good but lacks the right that the message names."""

    code = "forbidden"
    status = 403
    title = "Not allowed"


class SettingError(AmbitError):
    """A setting is missing or wrong; the message lists where it was looked for."""

    code = "setting_invalid"
    status = 500
    title = "Setting missing or wrong"


class UnavailableError(AmbitError):
    """Something Ambit needs does not answer now."""

    code = "unavailable"
    status = 503
    title = "Temporarily unavailable"
    transient = True


class AccessUndecidedError(UnavailableError):
    """Access could not be decided, so nothing was shown."""

    code = "access_undecided"
    title = "Access could not be decided"


class LeaseLostError(AmbitError):
    """Another worker holds this work now; whatever this one did is discarded."""

    code = "lease_lost"
    status = 409
    title = "Lease lost"
    transient = True
