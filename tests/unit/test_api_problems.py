"""What callers are told of errors."""

from __future__ import annotations

import sqlite3

import pytest
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from api.problems import designed, openai_error, problem
from core.errors import AccessUndecidedError, AmbitError, InvalidError, NotFoundError, SettingError
from gateway.model import ModelError


@pytest.mark.parametrize(
    "error",
    [
        SettingError("/srv/keys kanarienvogel"),
        ModelError("kanarienvogel said no"),
        AccessUndecidedError("kanarienvogel"),
        AmbitError("kanarienvogel"),
        RuntimeError("kanarienvogel"),
        OperationalError("SELECT kanarienvogel", {}, sqlite3.OperationalError("kanarienvogel")),
    ],
)
def test_what_went_wrong_inside_is_not_told(error: Exception) -> None:
    known = designed(error)
    assert known.status >= 500
    assert "kanarienvogel" not in str(problem(known, request="req_1"))
    assert "kanarienvogel" not in str(openai_error(known, request="req_1"))
    assert "req_1" in problem(known, request="req_1")["detail"]


def test_what_the_caller_can_mend_is_told() -> None:
    told = problem(InvalidError("top_k is 0", errors=[{"field": "top_k", "input": "kanarienvogel"}]), request="r")
    assert (told["status"], told["code"], told["type"]) == (422, "invalid", "urn:ambit:problem:invalid")
    assert told["errors"] == [{"field": "top_k"}]
    assert problem(NotFoundError("there is no run 'x'"), request="r")["detail"] == "there is no run 'x'"


def test_only_errors_are_passed_on() -> None:
    told = problem(NotFoundError("x", path="/srv", models=["a"]), request="r")
    assert set(told) == {"type", "title", "status", "detail", "code", "request_id"}


def test_a_database_that_is_away_is_transient() -> None:
    error = designed(OperationalError("x", {}, sqlite3.OperationalError("x")))
    assert (error.code, error.status, error.transient) == ("unavailable", 503, True)


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "malformed"), (404, "not_found"), (405, "method_not_allowed"), (413, "body_too_large"), (415, "malformed")],
)
def test_http_errors_have_codes(status: int, code: str) -> None:
    assert designed(HTTPException(status, "x")).code == code


def test_fields_are_named_without_their_values() -> None:
    raw = [
        {"loc": ("body", "filters", "sources", 0), "msg": "Input should be a string", "type": "string_type",
         "input": "kanarienvogel", "ctx": {"x": "kanarienvogel"}},
        {"loc": ("query", "limit"), "msg": "Value error, too large", "type": "value_error", "input": 1},
    ]  # fmt: skip
    told = problem(designed(RequestValidationError(raw)), request="r")
    assert [one["field"] for one in told["errors"]] == ["filters.sources.0", "limit"]
    assert told["errors"][1]["message"] == "too large"
    assert "kanarienvogel" not in str(told)
