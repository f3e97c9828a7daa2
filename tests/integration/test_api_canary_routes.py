"""Canaries over every route: whatever is asked, and however badly, no token reaches who may not read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.app import create_app
from api.runtime import Runtime
from core.db import json_text
from core.tables import AuditEntry
from tests.integration.conftest import Installation
from tests.integration.test_api_canary import DOCUMENTS, PEOPLE, TOKEN, seen_in, token

CHAT = {"model": "default", "messages": [{"role": "user", "content": "canary budget"}]}
OWN = {"principals": ["user:ana"], "rights": ["source.read"], "objects": ["source:notes"]}
GLASS = {"user": "nobody", "places": ["spare:"], "reason": "a rehearsal of the routes", "for_s": 60}
PUSH = {"source": "notes", "id": "walked", "text": "Nothing of note."}
LDAP = {"config": {"url": "ldaps://ldap.invalid", "base": "dc=example"}}
MODEL = {"class": "llama_index.llms.openai_like.OpenAILike", "arguments": {"model": "m"}, "hosting": "external"}
SCIM = "urn:ietf:params:scim"
RULE = {"effect": "forbid", "when": "false"}
GOOD: dict[str, Any] = {
    "POST /v1/retrieve": {"query": "canary budget", "top_k": 50},
    "POST /v1/query": {"query": "canary budget"},
    "POST /v1/chat/completions": CHAT,
    "GET /v1/models": None,
    "GET /v1/sources": None,
    "POST /v1/sources": {"id": "spare", "connector": "push", "access": {"allow": ["everyone"]}},
    "GET /v1/sources/{key}": None,
    "PATCH /v1/sources/{key}": {"schedule": {}},
    "POST /v1/sources/{key}/sync": None,
    "POST /v1/sources/{key}/retry": {},
    "GET /v1/runs": None,
    "GET /v1/runs/{run_id}": None,
    "GET /v1/jobs/{run_id}": None,
    "POST /v1/runs/{run_id}/retry": {},
    "POST /v1/runs/{run_id}/pause": None,
    "POST /v1/runs/{run_id}/resume": None,
    "POST /v1/runs/{run_id}/approve": None,
    "POST /v1/runs/{run_id}/reject": {"reason": "none"},
    "POST /v1/runs/{run_id}/cancel": None,
    "GET /v1/directories": None,
    "GET /v1/directories/{key}": None,
    "POST /v1/directories/{key}/check": None,
    "POST /v1/directories/{key}/sync": {},
    "PUT /v1/directories/{key}": LDAP,
    "DELETE /v1/directories/{key}": None,
    "GET /v1/config/models": None,
    "PUT /v1/config/models/{key}": MODEL,
    "GET /v1/config/models/{key}": None,
    "GET /v1/config/routes": None,
    "PUT /v1/config/routes/{key}": {"models": ["walker"]},
    "GET /v1/config/routes/{key}": None,
    "DELETE /v1/config/routes/{key}": None,
    "DELETE /v1/config/models/{key}": None,
    "POST /v1/documents": PUSH,
    "GET /v1/documents": None,
    "GET /v1/documents/{document_id}": None,
    "GET /v1/documents/{document_id}/passages": None,
    "GET /v1/keys": None,
    "POST /v1/keys": {"app": "walker", "rights": ["query"]},
    "DELETE /v1/keys/{prefix}": None,
    "GET /v1/users": None,
    "PUT /v1/users/{key}": {"email": "walker@example.com"},
    "GET /v1/users/{key}": None,
    "DELETE /v1/users/{key}": None,
    "GET /v1/groups": None,
    "PUT /v1/groups/{key}": {"members": ["user:ana"]},
    "GET /v1/groups/{key}": None,
    "DELETE /v1/groups/{key}/members/{member}": None,
    "DELETE /v1/groups/{key}": None,
    "GET /v1/apps": None,
    "PUT /v1/apps/{key}": {},
    "GET /v1/apps/{key}": None,
    "DELETE /v1/apps/{key}": None,
    "GET /v1/policies": None,
    "PUT /v1/policies/{key}": RULE,
    "GET /v1/policies/{key}": None,
    "DELETE /v1/policies/{key}": None,
    "GET /v1/classifications": None,
    "PUT /v1/classifications": {"order": ["public", "internal", "confidential", "restricted"]},
    "GET /v1/grants": None,
    "PUT /v1/grants/{key}": OWN,
    "GET /v1/grants/{key}": None,
    "DELETE /v1/grants/{key}": None,
    "POST /v1/access/rights": {"user": "ana", "right": "source.read", "object": "source:notes"},
    "POST /v1/access/check": {"user": "bob", "document": "{document_id}"},
    "POST /v1/access/explain": {"user": "bob", "document": "{document_id}"},
    "POST /v1/access/who-can-read": {"document": "{document_id}"},
    "POST /v1/access/history": {"document": "{document_id}", "epoch": 3},
    "POST /v1/access/simulate": {"entries": [{"place": "notes:", "principal": "user:eve"}]},
    "GET /v1/access/review": None,
    "GET /v1/approvals": None,
    "GET /v1/approvals/{approval}": None,
    "POST /v1/approvals/{approval}/approve": {"note": "no"},
    "POST /v1/approvals/{approval}/reject": {"note": "no"},
    "GET /v1/access/break-glass": None,
    "POST /v1/access/break-glass": GLASS,
    "DELETE /v1/access/break-glass/{glass}": None,
    "GET /v1/access/entries": None,
    "PUT /v1/access/entries": {"place": "spare:", "entries": [{"principal": "user:eve"}]},
    "POST /v1/access/entries/{entry}/waive": None,
    "GET /v1/audit": None,
    "GET /v1/catalog": None,
    "GET /v1/catalog/documents": None,
    "POST /scim/v2/Users": {"schemas": [f"{SCIM}:schemas:core:2.0:User"], "userName": "walker"},
    "GET /scim/v2/Users": None,
    "GET /scim/v2/Users/{key}": None,
    "PUT /scim/v2/Users/{key}": {"schemas": [f"{SCIM}:schemas:core:2.0:User"], "userName": "walker"},
    "PATCH /scim/v2/Users/{key}": {"schemas": [f"{SCIM}:api:messages:2.0:PatchOp"], "Operations": []},
    "DELETE /scim/v2/Users/{key}": None,
    "POST /scim/v2/Groups": {"schemas": [f"{SCIM}:schemas:core:2.0:Group"], "displayName": "Walkers"},
    "GET /scim/v2/Groups": None,
    "GET /scim/v2/Groups/{key}": None,
    "PUT /scim/v2/Groups/{key}": {"schemas": [f"{SCIM}:schemas:core:2.0:Group"], "displayName": "Walkers"},
    "PATCH /scim/v2/Groups/{key}": {"schemas": [f"{SCIM}:api:messages:2.0:PatchOp"], "Operations": []},
    "DELETE /scim/v2/Groups/{key}": None,
    "POST /scim/v2/.search": {},
    "GET /scim/v2/ServiceProviderConfig": None,
    "GET /scim/v2/ResourceTypes": None,
    "GET /scim/v2/ResourceTypes/{name}": None,
    "GET /scim/v2/Schemas": None,
    "GET /scim/v2/Schemas/{urn}": None,
    "GET /healthz": None,
    "GET /readyz": None,
    "GET /metrics": None,
    "DELETE /v1/documents/{document_id}": None,
    "DELETE /v1/sources/{key}": None,
    "POST /v1/documents/{document_id}/erase": {"reason": "a walk"},
    "POST /v1/sources/{key}/readmit": {"id": "none"},
    "POST /v1/sources/{key}/erase": {},
    "POST /v1/users/{key}/erase": {},
    "GET /v1/erasures": None,
    "GET /v1/erasures/{erasure}": None,
    "POST /v1/erasures/{erasure}/verify": None,
}
"""A good body for every route of the OpenAPI, None where it takes none, in an order in which each finds its object."""
ODD: tuple[Any, ...] = (
    {"content": b"{"},
    {"content": b"\xff\x00"},
    {"json": []},
    {"json": {"query": "", "id": {}, "document": ["x"], "user": 1}},
    {"json": {"query": "canary budget", "filters": {"facets": {"mark": ["x"]}, "sources": ["x"]}, "top_k": -1}},
    {"json": {**CHAT, "model": "none", "temperature": "hot"}},
    {"params": {"cursor": "a", "limit": "-1", "source": "x", "epoch": "z"}},
    {"params": {"format": "pdf", "days": "0", "state": "x", "stale_days": "-2"}},
    {"headers": {"Content-Type": "text/plain", "If-Match": "*", "Idempotency-Key": "k"}},
)
UNREADY = {"/readyz", "/scim/v2/.search"}
"""What may answer with a status of the server: not ready, and what SCIM calls not implemented."""
OBJECTS = {"prefix": "none", "member": "user:ana", "approval": "none", "glass": "none", "entry": "1", "key": "walker"}
OBJECTS |= {"name": "User", "urn": "urn:none", "erasure": "none"}


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What was printed and logged until it was last asked for; the logger here is not configured, and drops nothing."""
    caplog.set_level("DEBUG")
    found: list[str] = []
    yield found
    found += [*capfd.readouterr(), caplog.text]
    assert TOKEN.findall("".join(found).lower()) == []


def _planted(ambit: Installation, *, shown: bool = True) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Documents whose text and, if `shown`, title and attributes hold a token: tokens by name, and ids."""
    tokens, ids = {name: token(number) for number, name in enumerate(DOCUMENTS)}, {}
    for name, (access, _) in DOCUMENTS.items():
        text = f"# Report {name}\n\nThe budget of report {name} has the secret token {tokens[name]}."
        beside = tokens[name] if shown else "none"
        more: dict[str, Any] = {"title": f"Report {name} {beside}", "attributes": {"mark": beside}}
        job = ambit.push(name, text, access=access, **more)
        ids[name] = {"document_id": job["document_id"], "run_id": job["job_id"]}
    return tokens, ids


def filled(into: Any, ids: dict[str, str]) -> Any:
    if isinstance(into, dict):
        return {name: filled(value, ids) for name, value in into.items()}
    return into.format_map(ids) if isinstance(into, str) else into


def _walk(ambit: Installation, key: str | None, user: str | None, ids: dict[str, str]) -> Iterator[httpx.Response]:
    """Every route with its good body, for what a document and its run are named."""
    for route, body in GOOD.items():
        method, path = route.split(" ")
        names = OBJECTS | ids | ({"key": "spare"} if "sources" in path else {})
        more = {} if body is None else {"json": filled(body, names)}
        yield ambit.call(method, path.format_map(names), key or "none", user=user, **more)


def _oddly(ambit: Installation, key: str | None, user: str | None, ids: dict[str, str]) -> Iterator[httpx.Response]:
    """Every route with input that fits nowhere, and for objects with odd names."""
    for at, route in enumerate(GOOD):
        method, path = route.split(" ")
        if method == "DELETE":
            continue
        names = OBJECTS | ids | {"key": "%00", "run_id": "run_0", "entry": "x"}
        for odd in (ODD[at % len(ODD)], ODD[(at * 4 + 1) % len(ODD)]):
            yield ambit.call(method, path.format_map(names), key or "none", user=user, **odd)


def _refused(answers: Iterator[httpx.Response], allowed: set[str]) -> tuple[set[str], set[int]]:
    """Tokens that were shown, all of them allowed, and the statuses there were."""
    shown: set[str] = set()
    statuses = set()
    for answer in answers:
        assert seen_in(answer) <= allowed, f"{answer.request.method} {answer.request.url}"
        assert answer.status_code < 500 or answer.request.url.path in UNREADY, answer.text
        shown |= seen_in(answer)
        statuses.add(answer.status_code)
    return shown, statuses


def test_every_route_has_a_good_body(runtime: Runtime) -> None:
    paths = create_app(runtime, ready=dict).openapi()["paths"]
    routes = {f"{method.upper()} {path}": one for path, of in paths.items() for method, one in of.items()}
    assert routes.keys() == GOOD.keys(), "write a good body for each route into GOOD"
    needs = {route for route, one in routes.items() if one.get("requestBody", {}).get("required")}
    assert {route for route in needs if GOOD[route] is None} == set()


def test_no_route_shows_a_person_what_they_may_not_read(ambit: Installation, told: list[str]) -> None:
    tokens, ids = _planted(ambit)
    for user in PEOPLE:
        allowed = {tokens[name] for name, (_, readers) in DOCUMENTS.items() if user in readers}
        shown: set[str] = set()
        for name in DOCUMENTS:
            few = _walk(ambit, ambit.keys["chat"], user, ids[name]) if name in {"none", "open"} else iter(())
            shown |= _refused(few, allowed)[0]
        shown |= _refused(_oddly(ambit, ambit.keys["chat"], user, ids["none"]), allowed)[0]
        if user == "eve":  # through an app that may do everything, which lends her nothing
            whole = ambit.app("whole", ["query", "admin", "ingest", "provision"], acts_for=["everyone"])
            shown |= _refused(_walk(ambit, whole, user, ids["none"]), allowed)[0]
        assert bool(shown) == bool(allowed)
    _nothing_is_kept(ambit)


def test_no_route_shows_text_to_who_administers_or_has_no_right(ambit: Installation, told: list[str]) -> None:
    _, ids = _planted(ambit, shown=False)  # an admin sees titles and attributes
    ambit.app("walker", ["query"])
    ambit.app("entra", ["provision"])
    outside = [(ambit.keys[name], None) for name in ("feeder", "entra")]
    for key, user in ((None, None), *outside, (ambit.keys["walker"], "ana")):
        for answers in (_walk(ambit, key, user, ids["none"]), _oddly(ambit, key, user, ids["none"])):
            assert _refused(answers, set())[0] == set()
    shown, statuses = _refused(_walk(ambit, ambit.admin_key, None, ids["ana-only"]), set())
    assert {200, 201, 202, 204, 403, 404} <= statuses
    assert shown == set()
    assert _refused(_oddly(ambit, ambit.admin_key, None, ids["open"]), set())[0] == set()
    _nothing_is_kept(ambit)


def _nothing_is_kept(ambit: Installation) -> None:
    """Neither metrics nor the audit hold a token."""
    assert seen_in(ambit.client.get("/metrics")) == set()
    with ambit.runtime.db.read() as session:
        entries = session.execute(select(AuditEntry.kind, AuditEntry.actor, AuditEntry.body)).all()
    assert len(entries) > len(DOCUMENTS)
    assert [one.kind for one in entries if TOKEN.search((one.actor + json_text(one.body)).lower())] == []
