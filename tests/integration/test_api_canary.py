"""Every document holds a token of its own; no response ever shows one to a person who may not read it."""

from __future__ import annotations

import re
from typing import Any

import httpx

from core.secrets import new_api_key
from tests.integration.conftest import Installation

PEOPLE = ("ana", "bob", "eve", "nobody")
DOCUMENTS: dict[str, tuple[dict[str, Any] | None, set[str]]] = {
    "open": (None, {"ana", "bob"}),
    "ana-only": ({"inherit": False, "allow": ["user:ana"]}, {"ana"}),
    "engineering": ({"inherit": False, "allow": ["group:engineering"]}, {"ana"}),
    "not-bob": ({"deny": ["user:bob@example.com"]}, {"ana"}),
    "eve-too": ({"allow": ["user:eve"]}, {"ana", "bob", "eve"}),
    "everyone": ({"inherit": False, "allow": ["everyone"]}, {"ana", "bob", "eve"}),
    "none": ({"inherit": False}, set()),
    "ghost-deny": ({"deny": ["user:ghost"]}, set()),
    "other-app": ({"deny": ["app:chat"]}, set()),
}
TOKEN = re.compile(r"canary[a-z]+zz")


def token(number: int) -> str:
    return "canary" + "".join(chr(97 + int(digit)) for digit in f"{number:03d}") + "zz"


def seen_in(answer: httpx.Response) -> set[str]:
    told = answer.text + str(dict(answer.headers))
    return set(TOKEN.findall(told.lower()))


def _requests(ambit: Installation, user: str, tokens: dict[str, str], ids: dict[str, str]) -> list[httpx.Response]:
    """Everything a person can ask; queries never contain a token, so that none comes back by echo."""
    chat = ambit.keys["chat"]
    queries = ["canary budget report", "What is the budget?", "a", "the secret token of each report"]
    queries += [f"report {name}" for name in tokens]
    done = []
    for query in queries:
        done.append(ambit.chat("/v1/retrieve", user, {"query": query, "top_k": 50}))
        done.append(ambit.chat("/v1/query", user, {"query": query, "top_k": 20}))
    for query in queries[:3]:
        done.append(ambit.chat("/v1/query", user, {"query": query, "stream": True}))
        for stream in (False, True):
            body = {"model": "default", "messages": [{"role": "user", "content": query}], "stream": stream}
            done.append(ambit.chat("/v1/chat/completions", user, body))
    for facet in ("team", "mime", "none"):
        narrowed = {"query": "budget", "filters": {"facets": {facet: ["hidden", "text/markdown"]}}}
        done.append(ambit.chat("/v1/retrieve", user, narrowed))
    for id_ in ids.values():
        done += [ambit.call("GET", f"/v1/documents/{id_}{tail}", chat, user=user) for tail in ("", "/passages")]
    done += [ambit.call("GET", path, chat, user=user) for path in ("/v1/documents", "/v1/sources", "/v1/models")]
    done.append(ambit.chat("/v1/query", user, {"query": "budget", "model": "none"}))
    done.append(ambit.chat("/v1/retrieve", user, {"query": "budget", "top_k": -1}))
    return done


def test_no_token_reaches_who_may_not_read_it(ambit: Installation) -> None:
    tokens = {name: token(number) for number, name in enumerate(DOCUMENTS)}
    ids = {}
    for name, (access, _) in DOCUMENTS.items():
        text = f"# Report {name}\n\nThe budget of report {name} has the secret token {tokens[name]}."
        body: dict[str, Any] = {
            "title": f"Report {name} {tokens[name]}",
            "attributes": {"team": "hidden", "mark": tokens[name]},
        }
        ids[name] = ambit.push(name, text, access=access, **body)["document_id"]
    for user in PEOPLE:
        allowed = {tokens[name] for name, (_, readers) in DOCUMENTS.items() if user in readers}
        seen: set[str] = set()
        for answer in _requests(ambit, user, tokens, ids):
            assert seen_in(answer) <= allowed, f"{user}: {answer.request.method} {answer.request.url}"
            seen |= seen_in(answer)
        assert seen == allowed, f"{user} should have found all that is theirs"


def test_no_token_reaches_without_a_good_key(ambit: Installation) -> None:
    ambit.push("open", f"The budget has the token {token(1)}.", title=token(1))
    for key in ("wrong", new_api_key()[0], ambit.keys["feeder"], ambit.admin_key):
        for path in ("/v1/retrieve", "/v1/query"):
            assert seen_in(ambit.chat(path, "ana", {"query": "budget"}, key=key)) == set()
    for path in ("/metrics", "/healthz", "/readyz", "/openapi.json"):
        assert seen_in(ambit.client.get(path)) == set()


def test_an_app_narrows_what_its_people_see(ambit: Installation) -> None:
    other = {"id": "other", "connector": "push", "access": {"allow": ["everyone"]}}
    ambit.admin("POST", "/v1/sources", json=other)
    ambit.push("a", f"The budget has the token {token(1)}.")
    ambit.push("b", f"The budget has the token {token(2)}.", source="other")
    narrow = ambit.app("narrow", ["query"], acts_for=["everyone"], sources=["other"])
    for path in ("/v1/retrieve", "/v1/query"):
        assert seen_in(ambit.chat(path, "ana", {"query": "budget"}, key=narrow)) == {token(2)}
    listed = ambit.call("GET", "/v1/sources", narrow, user="ana").json()["data"]
    assert [one["id"] for one in listed] == ["other"]
