from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from cli import asking, remote
from cli.local_api import LocalApi
from cli.serving import NAME, Serving, announced, found
from core.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from tests.factories.command_line import ROOT

TOKEN = "the-token"


def test_a_server_is_found_while_it_runs(tmp_path: Path) -> None:
    assert found(tmp_path) is None
    with announced(tmp_path, "http://x:1", works=True, alone=True) as serving:
        assert found(tmp_path) == serving
        assert serving.pid == os.getpid()
        assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert found(tmp_path) is None
    assert not (tmp_path / NAME).exists()


def test_what_a_killed_server_left_behind_counts_as_none(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from cli.serving import announced\n"
        "with announced(pathlib.Path(sys.argv[1]), 'http://x:1', works=True, alone=True):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    told = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**told, "pid": os.getpid()}))
    assert found(tmp_path) is None
    with announced(tmp_path, "http://x:2", works=True, alone=True) as serving:
        assert found(tmp_path) == serving


def test_a_second_server_is_refused_where_one_must_be_alone(tmp_path: Path) -> None:
    with announced(tmp_path, "http://x:1", works=True, alone=True) as first:
        with pytest.raises(ConflictError, match="http://x:1"), announced(tmp_path, "u", works=True, alone=True):
            pass
        with announced(tmp_path, "http://x:2", works=True, alone=False) as second:
            assert second.token != first.token
        assert found(tmp_path) == first


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x"}', '{"pid": 1, "url": "u", "token": "", "works": true}'])
def test_a_file_that_says_nothing_useful_counts_as_none(tmp_path: Path, text: str) -> None:
    with announced(tmp_path, "u", works=True, alone=True):
        (tmp_path / NAME).write_text(text)
        assert found(tmp_path) is None


class Call:
    """One request to the application under `/local/`, and what came of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[asking.Asked] = []
        self.passed_on: list[str] = []
        monkeypatch.setattr(asking, "answer", self._work)
        monkeypatch.setattr(asking, "search", self._work)
        self.error: Exception | None = None
        runtime: Any = None
        self._app = LocalApi(self._inner, runtime, 1, TOKEN)

    def _work(self, runtime: object, tenant: int, asked: asking.Asked) -> dict[str, Any]:
        if self.error:
            raise self.error
        self.asked.append(asked)
        return {"answer": "yes"}

    async def _inner(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.passed_on.append(scope["path"])

    def __call__(
        self, path: str = "/local/ask", *, token: str | None = TOKEN, client: str | None = "127.0.0.1",
        method: str = "POST", body: object = None,
    ) -> tuple[int, dict[str, Any]]:  # fmt: skip
        sent: list[MutableMapping[str, Any]] = []
        raw = body if isinstance(body, bytes) else json.dumps(body or {"query": "q", "user": "ana"}).encode()

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        headers = [] if token is None else [(b"x-ambit-local", token.encode())]
        scope = {
            "type": "http", "path": path, "method": method, "headers": headers,
            "client": (client, 5) if client else None,
        }  # fmt: skip
        asyncio.run(self._app(scope, receive, send))
        if not sent:
            return 0, {}
        return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    return Call(monkeypatch)


@pytest.mark.parametrize("client", ["127.0.0.1", "127.9.9.9", "::1"])
@pytest.mark.parametrize("path", ["/local/ask", "/local/search"])
def test_the_folders_owner_is_answered(call: Call, client: str, path: str) -> None:
    assert call(path, client=client, body={"query": "q", "user": "ana", "top_k": 3, "model": None}) == (
        200, {"answer": "yes"},
    )  # fmt: skip
    assert call.asked == [asking.Asked("q", "ana", 3)]


@pytest.mark.parametrize(
    "wrong",
    [{"token": None}, {"token": ""}, {"token": "the-tokem"}, {"token": TOKEN + "x"}, {"client": "10.0.0.1"},
     {"client": None}, {"client": "example"}, {"method": "GET"}, {"path": "/local/"}, {"path": "/local/other"},
     {"path": "/local"}],
)  # fmt: skip
def test_anyone_else_is_told_that_there_is_nothing(call: Call, wrong: dict[str, Any]) -> None:
    status, body = call(**wrong)
    assert (status, body["code"]) == (404, "not_found")
    assert call.asked == []
    assert call.passed_on == []


def test_two_tokens_are_none(call: Call) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the body must not be read")

    header = (b"x-ambit-local", TOKEN.encode())
    scope = {"type": "http", "path": "/local/ask", "method": "POST", "headers": [header, header], "client": ("::1", 1)}
    asyncio.run(call._app(scope, receive, send))
    assert sent[0]["status"] == 404


@pytest.mark.parametrize("path", ["/v1/query", "/healthz", "/locale", "/"])
def test_every_other_path_goes_to_the_public_application(call: Call, path: str) -> None:
    assert call(path, token=None) == (0, {})
    assert call.passed_on == [path]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"nope", b"[" * 5000, {"query": "q"}, {"query": "q", "user": ""}, {"query": 1, "user": "a"},
     {"query": "q", "user": "a", "top_k": True}, {"query": "q", "user": "a", "top_k": "3"},
     {"query": "q", "user": "a", "tenant": 2}, {"query": "q", "user": "a" * 400}, b" " * 300_000],
)  # fmt: skip
def test_what_is_no_question_is_refused(call: Call, body: object) -> None:
    status, told = call(body=body)
    assert (status, told["code"]) == (422, "invalid")
    assert call.asked == []


def test_errors_keep_their_code_and_others_their_silence(call: Call) -> None:
    call.error = NotFoundError("there is no user")
    assert call()[1]["detail"] == "there is no user"
    call.error = RuntimeError("text of a document")
    status, told = call()
    assert status == 500
    assert "text of a document" not in json.dumps(told)


def test_a_servers_problem_becomes_the_error_it_names() -> None:
    told = remote._told({"code": "forbidden", "detail": "no"}, 403)
    assert (told.code, told.detail) == ("forbidden", "no")
    assert remote._told({}, 500).code == "unavailable"
    assert remote._told({"code": "new_one"}, 418).code == "invalid"


def test_a_server_that_is_away_is_told_with_its_address() -> None:
    serving = Serving(1, "http://127.0.0.1:9", TOKEN)
    with pytest.raises(UnavailableError, match=r"http://127\.0\.0\.1:9/local/ask does not answer"):
        remote.ask_local(serving, "ask", asking.Asked("q", "ana"), 1.0)


def test_a_question_needs_a_person() -> None:
    with pytest.raises(InvalidError):
        asking.Asked("q", "")
