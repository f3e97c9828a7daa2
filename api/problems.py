"""RFC 9457 problem documents: one renderer for every error, which never tells internals."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from api.errors import BodyTooLargeError, MalformedError, MethodNotAllowedError
from api.scim import errors as scim
from core.errors import AmbitError, InvalidError, NotFoundError, UnavailableError
from core.ids import public_id
from core.telemetry import logger

MEDIA_TYPE = "application/problem+json"
OPENAI_PATHS = ("/v1/chat/completions", "/v1/models")
_LONGEST_FIELD = 200
_DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
_OPENAI_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem document."""
    for kind in (AmbitError, HTTPException, RequestValidationError, *_DATABASE_AWAY):
        app.add_exception_handler(kind, _handle)


def request_id(request: Request) -> str:
    """The id this request has in the log and in `X-Request-Id`."""
    found: str = request.scope.setdefault("state", {}).setdefault("request_id", public_id("req"))
    return found


def problem(error: AmbitError, *, request: str) -> dict[str, Any]:
    """The members of a problem document. What went wrong inside (5xx) is told in the log alone."""
    body: dict[str, Any] = {
        "type": f"urn:ambit:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": _detail(error, request),
        "code": error.code,
        "request_id": request,
    }
    if "approval" in error.extra:
        body["approval"] = error.extra["approval"]
    errors = error.extra.get("errors")
    if errors and error.status < 500:
        body["errors"] = [_field_error(one) for one in errors]
    return body


def respond(request: Request, error: Exception) -> JSONResponse:
    """The response to any error; those of the server are logged."""
    known = designed(error)
    name = request_id(request)
    if known.status >= 500:
        log(request, known, error)
    if request.url.path.startswith(scim.PATHS):
        status, told = scim.body(known, _detail(known, name))
        return JSONResponse(told, status, headers=_headers(known, error), media_type=scim.MEDIA_TYPE)
    body = problem(known, request=name)
    if request.url.path.startswith(OPENAI_PATHS):
        body["error"] = openai_error(known, request=name)
    return JSONResponse(body, known.status, headers=_headers(known, error), media_type=MEDIA_TYPE)


def designed(error: Exception) -> AmbitError:
    """The designed error that stands for any exception."""
    if isinstance(error, AmbitError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors())
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, _DATABASE_AWAY):
        return UnavailableError("the database does not answer")
    return AmbitError("unexpected")


def openai_error(error: AmbitError, *, request: str) -> dict[str, Any]:
    """The same error as OpenAI's clients read it."""
    kind = "server_error" if error.status >= 500 else _OPENAI_TYPES.get(error.status, "invalid_request_error")
    return {"message": _detail(error, request), "type": kind, "code": error.code, "param": None}


def log(request: Request, known: AmbitError, error: Exception) -> None:
    """Tells the log what went wrong: of an unexpected error its class and place, since its text may hold content."""
    reason = known.detail if error is known else _place(error)
    logger().error("request.failed", code=known.code, reason=reason, request=request_id(request))


async def _handle(request: Request, error: Exception) -> JSONResponse:
    return respond(request, error)


def _detail(error: AmbitError, request: str) -> str:
    if error.status < 500:
        return error.detail
    again = "; the same request may succeed later" if error.transient else ""
    return f"{error.title}{again}. The server's log says more under {request}."


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where


def _headers(known: AmbitError, error: Exception) -> dict[str, str]:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if "approval" in known.extra:
        headers["Location"] = f"/v1/approvals/{known.extra['approval']}"
    if known.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def _invalid(errors: Sequence[Any]) -> AmbitError:
    found = [{"field": _field(one["loc"]), "message": one["msg"].removeprefix("Value error, ")} for one in errors]
    if any(one["type"] == "json_invalid" for one in errors):
        return InvalidError("the body is not JSON", errors=[{"field": "body", "message": "not JSON"}])
    named = ", ".join(dict.fromkeys(one["field"] for one in found))
    return InvalidError(f"wrong or missing: {named}", errors=found)


def _field(place: Sequence[Any]) -> str:
    parts = [str(part) for part in place]
    inner = parts[1:] if len(parts) > 1 and parts[0] in {"body", "query", "path", "header"} else parts
    return ".".join(inner)[:_LONGEST_FIELD]


def _field_error(one: Mapping[str, Any]) -> dict[str, str]:
    kept = {"field": str(one.get("field", ""))}
    return kept | ({"message": str(one["message"])} if "message" in one else {})


def _of_http(error: HTTPException) -> AmbitError:
    if isinstance(error.__cause__, AmbitError):
        return error.__cause__
    if error.status_code == 404:
        return NotFoundError("there is nothing at this address")
    if error.status_code == 405:
        return MethodNotAllowedError("this address does not take that method")
    if error.status_code == 413:
        return BodyTooLargeError(str(error.detail))
    return MalformedError("the request cannot be read")
