"""Errors that only HTTP knows."""

from __future__ import annotations

from core.errors import AmbitError


class UnsupportedError(AmbitError):
    """The request asks for something that Ambit does not do."""

    code = "unsupported"
    status = 400
    title = "Not supported"


class MalformedError(AmbitError):
    """The request is not what HTTP or JSON calls well formed."""

    code = "malformed"
    status = 400
    title = "Malformed request"


class MethodNotAllowedError(AmbitError):
    """The resource exists and does not take this method."""

    code = "method_not_allowed"
    status = 405
    title = "Method not allowed"


class BodyTooLargeError(AmbitError):
    """The request body is larger than `AMBIT_BODY_MAX_MB` or a file larger than `AMBIT_MAX_FILE_MB`."""

    code = "body_too_large"
    status = 413
    title = "Request body too large"


class PreconditionFailedError(AmbitError):
    """The resource changed since the ETag in `If-Match` was given."""

    code = "precondition_failed"
    status = 412
    title = "Precondition failed"


class IdempotencyMismatchError(AmbitError):
    """The same `Idempotency-Key` came before with another request."""

    code = "idempotency_mismatch"
    status = 422
    title = "Idempotency key used for another request"
