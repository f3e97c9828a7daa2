"""What somebody may not see and what does not exist: one answer, from the same statements, in the same time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event, select

from api.app import create_app
from api.runtime import Runtime
from core.ids import public_id
from core.tables import Ace, Document, Run
from policies import directory
from policies.grants import put_grant
from policies.rules_store import put_rule
from tests.integration.conftest import Installation

SAMPLES = 2_000
WARM = 200
LIMIT = 0.1
ROOT = {"rights": ["*"], "expires_at": None, "not_before": None}
ACCESS: dict[str, dict[str, Any] | None] = {
    "another's": {"inherit": False, "allow": ["user:ana"]},
    "nobody's": {"inherit": False},
    "denied": {"deny": ["user:bob"]},
    "denied to a stranger": {"deny": ["user:ghost"]},
    "denied to the app": {"deny": ["app:chat"]},
    "labelled": {"labels": {"classification": "restricted"}},
    "deleted": None,
}
"""Documents that bob may not read through `chat`, each for a reason of its own."""
RULE = "document.classification == 'restricted' && !('board' in principal.groups)"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that names something in `{}`: by which key, for whom, and with which status it is refused."""

    method: str
    path: str
    what: str
    key: str = "ops"
    user: str | None = None
    status: int = 403
    body: dict[str, Any] | None = None


def _administer(paths: str, what: str) -> list[Asked]:
    return [Asked(*one.split(" "), what) for one in paths.strip().splitlines()]


ASKED = [
    Asked("GET", "/v1/documents/{}", "document", "chat", "bob", 404),
    Asked("GET", "/v1/documents/{}/passages", "document", "chat", "bob", 404),
    Asked("DELETE", "/v1/documents/{}", "document", "narrow", None, 404),
    Asked("GET", "/v1/sources/{}", "source", "chat", "eve", 404),
    Asked("GET", "/v1/documents?source={}", "source", "chat", "eve", 200),
    Asked("POST", "/v1/documents", "source", "narrow", None, 404, {"source": "{}", "id": "a", "text": "b"}),
    Asked("POST", "/v1/retrieve", "source", "chat", "eve", 200, {"query": "heron", "filters": {"sources": ["{}"]}}),
    Asked("POST", "/v1/query", "source", "chat", "eve", 200, {"query": "heron", "filters": {"sources": ["{}"]}}),
    Asked("GET", "/v1/runs/{}", "run", "narrow", None, 404),
    Asked("GET", "/v1/jobs/{}", "run", "narrow", None, 404),
    *_administer("GET /v1/documents/{}\nDELETE /v1/documents/{}\nPOST /v1/documents/{}/erase", "document"),
    Asked("PUT", "/v1/access/entries", "document", body={"document": "{}", "entries": []}),
    *(
        Asked("POST", f"/v1/access/{question}", "document", body={"document": "{}", "user": "bob"})
        for question in ("check", "explain", "history")
    ),
    Asked("POST", "/v1/access/who-can-read", "document", body={"document": "{}"}),
    Asked("POST", "/v1/access/entries/{}/waive", "entry"),
    *_administer("GET /v1/runs/{}\nGET /v1/jobs/{}\nPOST /v1/runs/{}/retry\nPOST /v1/runs/{}/cancel", "run"),
    *_administer("POST /v1/runs/{}/approve\nPOST /v1/runs/{}/reject\nPOST /v1/runs/{}/pause", "run"),
    *_administer("POST /v1/runs/{}/resume", "run"),
    *_administer("GET /v1/sources/{}\nDELETE /v1/sources/{}", "source"),
    *_administer("POST /v1/sources/{}/sync\nPOST /v1/sources/{}/retry\nPOST /v1/sources/{}/erase", "source"),
    Asked("POST", "/v1/sources/{}/readmit", "source", body={"id": "a.md"}),
    *_administer("GET /v1/runs?source={}\nGET /v1/access/entries?source={}", "source"),
    Asked("PATCH", "/v1/sources/{}", "source", body={"schedule": {}}),
    Asked("PUT", "/v1/access/entries", "source", body={"place": "{}:", "entries": []}),
    *_administer("GET /v1/groups/{}\nDELETE /v1/groups/{}\nDELETE /v1/groups/{}/members/user:ana", "group"),
    Asked("PUT", "/v1/groups/{}", "group", body={}),
    Asked("GET", "/v1/access/review?group={}", "group"),
]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def hidden(request: pytest.FixtureRequest) -> Installation:
    """An installation whose documents bob may not read, with rules, and apps that may see little."""
    made: Installation = request.getfixturevalue("ambit" if request.param == "sqlite" else "postgres_ambit")
    _filled(made)
    return made


def _filled(ambit: Installation) -> None:
    for name, access in ACCESS.items():
        ambit.push(name, f"The heron of {name} waits.", access=access)
    with ambit.runtime.db.write() as session:
        put_rule(session, ambit.tenant, "board", effect="forbid", condition=RULE)
        directory.put_group(session, ambit.tenant, "board")
        deny = {"principals": ["app:ops"], "rights": ["source.read"], "objects": ["source:notes"], "effect": "deny"}
        put_grant(session, ambit.tenant, "not-ops", {**ROOT, "app": None, **deny})
    ambit.app("ops", ["admin"], acts_for=["everyone"])
    ambit.app("narrow", ["ingest"], sources=["other"])
    gone = _documents(ambit)["deleted"]
    assert ambit.call("DELETE", f"/v1/documents/{gone}", ambit.keys["feeder"]).status_code == 204


def _documents(ambit: Installation) -> dict[str, str]:
    with ambit.runtime.db.read() as session:
        rows = session.execute(select(Document.external_id, Document.public_id))
        return {row.external_id: row.public_id for row in rows}


def _there(ambit: Installation, what: str) -> list[str]:
    """Ids of what is there."""
    if what == "document":
        return list(_documents(ambit).values())
    with ambit.runtime.db.read() as session:
        runs = session.scalars(select(Run.public_id).limit(1)).all()
        entries = session.scalars(select(Ace.id).where(Ace.effect == "deny").limit(1)).all()
    return {"run": list(runs), "entry": [str(one) for one in entries], "source": ["notes"], "group": ["staff"]}[what]


def _nowhere(what: str) -> str:
    """An id of the same form that nothing has."""
    made = {"document": public_id("doc"), "run": public_id("run"), "entry": "99"}
    return made.get(what, "x" * 5)


@contextmanager
def _statements(engine: Engine) -> Iterator[list[str]]:
    """Every statement that is executed, prepared ones too."""
    seen: list[str] = []

    def told(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", told)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", told)


def _put(into: Any, id_: str) -> Any:
    if isinstance(into, dict):
        return {name: _put(value, id_) for name, value in into.items()}
    if isinstance(into, list):
        return [_put(value, id_) for value in into]
    return into.replace("{}", id_) if isinstance(into, str) else into


def _answer(ambit: Installation, asked: Asked, id_: str) -> httpx.Response:
    key, path = ambit.keys[asked.key], asked.path.replace("{}", id_)
    return ambit.call(asked.method, path, key, user=asked.user, json=_put(asked.body, id_))


def _told(answer: httpx.Response, id_: str) -> tuple[Any, ...]:
    """All of a response but what no two have alike: the date, the request's id, how long it took, and the id asked for,
    with the length that follows from them.
    """
    unlike = {"date", "x-request-id", "content-length"}
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in unlike)
    text = re.sub(r'"(took_ms|request_id|id|answer_id)": ?("(req|ans)_\w+"|[\d.]+)', r'"\1":0', answer.text)
    return answer.status_code, headers, re.sub(rf"\b{re.escape(id_)}\b(?!\":)", "<id>", text)


def test_what_may_not_be_seen_is_told_as_what_is_not_there(hidden: Installation) -> None:
    for asked in ASKED:
        assert "{}" in asked.path + str(asked.body)
        for there in _there(hidden, asked.what):
            nowhere = _nowhere(asked.what)
            told = []
            for id_ in (nowhere, there, nowhere, there):
                with _statements(hidden.runtime.db.engine) as statements:
                    answer = _answer(hidden, asked, id_)
                told.append((_told(answer, id_), statements))
            assert told[-1][0][0] == asked.status, (asked, answer.text)
            assert told[-1] == told[-2], asked
            assert told[-1][1], asked


def test_every_route_that_names_one_is_tried(runtime: Runtime) -> None:
    tried = {(one.method, re.sub(r"\{\}", "{*}", one.path.partition("?")[0])) for one in ASKED}
    owned = re.compile(r"/v1/(documents|sources|runs|jobs|groups|access/entries)/\{\w+\}")
    routes = set()
    for path, of in create_app(runtime, ready=dict).openapi()["paths"].items():
        if owned.match(path):
            routes |= {(method.upper(), re.sub(r"\{\w+\}", "{*}", path, count=1)) for method in of}
    routes = {(method, path.replace("{member}", "user:ana")) for method, path in routes}
    assert len(routes) > 20
    assert routes - tried == set()


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["another's", "labelled"])
def test_it_takes_as_long_too(ambit: Installation, name: str) -> None:
    """Kolmogorov-Smirnov over samples taken in turn: it compares two distributions, and no speed with a number."""
    _filled(ambit)
    there, nowhere = _documents(ambit)[name], _nowhere("document")
    taken: dict[str, list[float]] = {there: [], nowhere: []}
    for turn in range(SAMPLES + WARM):
        for id_ in (there, nowhere) if turn % 2 else (nowhere, there):
            began = time.perf_counter()
            answer = _answer(ambit, ASKED[0], id_)
            if turn >= WARM:
                taken[id_].append(time.perf_counter() - began)
            assert answer.status_code == 404
    distance = _distance(*taken.values())
    print(f"{name}: D = {distance:.4f} at n = {SAMPLES}")
    assert distance < LIMIT


def _distance(one: list[float], other: list[float]) -> float:
    """The largest difference between two empirical distributions."""
    first, second = sorted(one), sorted(other)
    most, at, beside = 0.0, 0, 0
    for value in sorted({*one, *other}):
        while at < len(first) and first[at] <= value:
            at += 1
        while beside < len(second) and second[beside] <= value:
            beside += 1
        most = max(most, abs(at / len(first) - beside / len(second)))
    return most


def test_the_distance_tells_distributions_apart() -> None:
    one = [float(number) for number in range(100)]
    assert _distance(one, one) == 0.0
    assert _distance(one, [value + 20 for value in one]) == pytest.approx(0.2)
