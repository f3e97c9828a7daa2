"""A person's access token through the whole API: their rights and the app's, by stable id, for as long as it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api.tokens.check import Tokens
from core.db import now
from core.tables import User
from policies import directory
from policies.grants import put_grant
from policies.identities import link
from policies.subject import Caller, resolve_subject
from tests.factories.issuer import Idp, idp
from tests.integration.conftest import Installation

Ask = Callable[..., httpx.Response]


@pytest.fixture
def issuer() -> Iterator[Idp]:
    with idp() as made:
        yield made


@pytest.fixture
def ask(ambit: Installation, issuer: Idp) -> Iterator[Ask]:
    """Searches with a token; `ana` is `s-ana` at the issuer."""
    _trust(ambit, issuer)
    with ambit.runtime.db.write() as session:
        user = session.query(User).filter_by(key="ana").one()
        assert link(session, user, {issuer.site.url: "s-ana"})
    ambit.push("a", "The canteen opens at noon.", title="Canteen")

    def asked(token: str, **headers: str) -> httpx.Response:
        return ambit.call("POST", "/v1/retrieve", token, json={"query": "canteen"}, headers=headers)

    yield asked
    ambit.runtime.tokens.close()


def _trust(ambit: Installation, issuer: Idp, **more: Any) -> None:
    ambit.runtime.tokens.close()
    ambit.runtime.tokens = Tokens([issuer.settings(**more)], ["127.0.0.1"])


def _titles(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["title"] for one in answer.json()["results"]]


def test_a_token_reads_what_its_person_and_its_app_may(ambit: Installation, issuer: Idp, ask: Ask) -> None:
    assert _titles(ask(issuer.token())) == ["Canteen"]
    with ambit.runtime.db.write() as session:
        directory.put_app(session, ambit.tenant, "chat", sources=["other"], acts_for=["everyone"])
    assert _titles(ask(issuer.token())) == []
    with ambit.runtime.db.write() as session:
        directory.put_app(session, ambit.tenant, "chat", active=False)
    assert ask(issuer.token()).status_code == 403


def test_a_token_needs_no_leave_of_the_app_and_names_nobody_else(ambit: Installation, issuer: Idp, ask: Ask) -> None:
    with ambit.runtime.db.write() as session:
        directory.put_app(session, ambit.tenant, "chat", acts_for=[])
    assert _titles(ask(issuer.token())) == ["Canteen"]
    refused = ask(issuer.token(), **{"X-Ambit-User": "bob"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "X-Ambit-User")
    for method, path in (("GET", "/v1/users"), ("PUT", "/v1/users/x"), ("POST", "/v1/keys"), ("GET", "/v1/runs")):
        assert ambit.call(method, path, issuer.token(), json={}).status_code in (403, 422)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"exp": 1}, 401, "token_invalid"),
        ({"aud": "api://another"}, 401, "token_invalid"),
        ({"iss": "https://evil.example"}, 401, "token_invalid"),
        ({"azp": "another-client"}, 403, "forbidden"),
        ({"azp": None}, 403, "forbidden"),
        ({"sub": "s-nobody"}, 403, "forbidden"),
        ({"sub": "ana"}, 403, "forbidden"),
        ({"sub": "s-nobody", "email": "ana@example.com", "preferred_username": "ana"}, 403, "forbidden"),
    ],
)
def test_what_does_not_hold_opens_nothing(
    issuer: Idp, ask: Ask, change: dict[str, Any], status: int, code: str
) -> None:
    answer = ask(issuer.token(**change))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "Canteen" not in answer.text
    assert issuer.token(**change).split(".")[1] not in answer.text


def test_a_deactivated_person_has_no_rights_at_the_next_query(ambit: Installation, issuer: Idp, ask: Ask) -> None:
    token = issuer.token()
    assert _titles(ask(token)) == ["Canteen"]
    with ambit.runtime.db.write() as session:
        directory.put_user(session, ambit.tenant, "ana", email="ana@example.com", active=False)
    assert ask(token).status_code == 403


def test_groups_of_a_token_give_rights_for_as_long_as_it_lasts(ambit: Installation, issuer: Idp, ask: Ask) -> None:
    _trust(ambit, issuer, groups_claim="groups", leeway_s=0)
    with ambit.runtime.db.write() as session:
        directory.set_containers(session, ambit.tenant, "user:ana", [])
    assert _titles(ask(issuer.token())) == []
    assert _titles(ask(issuer.token(groups=["engineering", "unknown"]))) == ["Canteen"]
    assert _titles(ask(issuer.token())) == [], "what one token gave, another does not have"
    short = issuer.token(groups=["staff"], exp=int(time.time()) + 2)
    assert _titles(ask(short)) == ["Canteen"]
    time.sleep(2.1)
    assert ask(short).status_code == 401
    with ambit.runtime.db.read() as session:
        claims = ambit.runtime.tokens.check(issuer.token(groups=["staff"]))
        assert claims.ends_at > now(session)


def test_a_deny_through_a_claimed_group_holds(ambit: Installation, issuer: Idp, ask: Ask) -> None:
    _trust(ambit, issuer, groups_claim="groups")
    with ambit.runtime.db.write() as session:
        directory.put_group(session, ambit.tenant, "temps")
    ambit.admin("PATCH", "/v1/sources/notes", json={"access": {"allow": ["group:staff"], "deny": ["group:temps"]}})
    assert _titles(ask(issuer.token(groups=["staff"]))) == ["Canteen"]
    assert _titles(ask(issuer.token(groups=["staff", "temps"]))) == []


@pytest.mark.parametrize(
    "many", [{"groups": [f"g{n}" for n in range(300)]}, {"_claim_names": {"groups": "src1"}}, {"hasgroups": True}]
)
def test_too_many_groups_fall_back_to_what_is_stored_and_lose_no_deny(
    ambit: Installation, issuer: Idp, ask: Ask, many: dict[str, Any]
) -> None:
    _trust(ambit, issuer, groups_claim="groups")
    with ambit.runtime.db.write() as session:
        directory.put_group(session, ambit.tenant, "temps")
    assert _titles(ask(issuer.token(**many))) == ["Canteen"], "engineering is stored"
    ambit.admin("PATCH", "/v1/sources/notes", json={"access": {"allow": ["group:staff"], "deny": ["group:temps"]}})
    assert _titles(ask(issuer.token())) == ["Canteen"]
    assert _titles(ask(issuer.token(**many))) == [], "nobody knows whether temps was among them"
    _trust(ambit, issuer, groups_claim="groups", groups={"guid-1": "staff"})
    assert _titles(ask(issuer.token(**many))) == ["Canteen"], "this issuer cannot name temps"
    with ambit.runtime.db.write() as session:
        directory.set_containers(session, ambit.tenant, "user:ana", [])
    assert _titles(ask(issuer.token(**many))) == [], "what is not stored is not given"


def test_rules_that_read_groups_err_where_they_are_not_known(ambit: Installation, issuer: Idp, ask: Ask) -> None:
    _trust(ambit, issuer, groups_claim="groups", attributes={"dept": "department"})
    from policies.rules_store import put_rule

    with ambit.runtime.db.write() as session:
        when = "!('temps' in principal.groups) && principal.department == 'law'"
        put_rule(session, ambit.tenant, "r", effect="permit", condition=when)
        directory.set_containers(session, ambit.tenant, "user:ana", [])
    assert _titles(ask(issuer.token(dept="law"))) == ["Canteen"]
    assert _titles(ask(issuer.token(dept="art"))) == []
    assert _titles(ask(issuer.token(dept="law", hasgroups=True))) == []


def test_stored_attributes_win_over_claimed_ones(ambit: Installation, issuer: Idp, ask: Ask) -> None:
    _trust(ambit, issuer, attributes={"level": "clearance"})
    with ambit.runtime.db.write() as session:
        directory.put_user(session, ambit.tenant, "ana", attributes={"clearance": "public"})
    token = ambit.runtime.tokens.check(issuer.token(level="restricted"))
    from api.tokens.callers import caller_of

    with ambit.runtime.db.read() as session:
        found = caller_of(session, token, "default")
        subject = resolve_subject(session, Caller(ambit.tenant, found.user or "", found.app.key, claims=found.claims))
    assert subject.attributes == {"clearance": "public"}
    assert ask(issuer.token(level="restricted")).status_code == 200


def test_an_issuer_that_is_away_is_told_as_such(ambit: Installation, issuer: Idp, ask: Ask) -> None:
    from tests.factories.http_site import Reply
    from tests.factories.issuer import JWKS

    issuer.site.routes[JWKS] = Reply(500)
    answer = ask(issuer.token())
    assert (answer.status_code, answer.json()["code"]) == (503, "issuer_unavailable")
    assert issuer.site.url not in answer.text


GRANT: dict[str, Any] = {"effect": "allow", "app": None, "not_before": None, "expires_at": None}


def _grant(ambit: Installation, key: str, principal: str, right: str, target: str, **more: Any) -> None:
    with ambit.runtime.db.write() as session:
        body = {**GRANT, "principals": [principal], "rights": [right], "objects": [target], **more}
        put_grant(session, ambit.tenant, key, body)


@pytest.fixture
def console(ambit: Installation, issuer: Idp, ask: Ask) -> Callable[..., httpx.Response]:
    """Requests with ana's token, through the app that tokens may administer by."""
    _trust(ambit, issuer, admin_apps=["chat"], groups_claim="groups")

    def called(method: str, path: str, body: Any = None, **claims: Any) -> httpx.Response:
        return ambit.call(method, path, issuer.token(**claims), **({} if body is None else {"json": body}))

    return called


def test_a_person_administers_by_token_what_grants_let_them(ambit: Installation, console: Ask) -> None:
    group = "/v1/groups/staff"
    assert console("GET", group).status_code == 403, "no grant, no right"
    _grant(ambit, "ana", "user:ana", "group.*", "group:staff")
    assert console("GET", group).status_code == 200
    assert console("GET", "/v1/groups").status_code == 403
    put = console("PUT", group, {"members": ["user:bob"]})
    assert put.status_code == 200, put.text
    (entry,) = ambit.admin("GET", "/v1/audit", params={"request_id": put.headers["X-Request-Id"]}).json()["data"]
    assert (entry["actor"], entry["body"]["app"]) == ("user:ana", "chat")
    told = console("POST", "/v1/access/rights", {"right": "group.write", "object": "group:staff"}).json()
    assert (told["allowed"], told["grant"]) == (True, "ana")
    assert console("GET", group, sub="s-nobody").status_code == 403
    _grant(ambit, "not-by-chat", "app:chat", "*", "*", effect="deny")
    assert console("GET", group).status_code == 403, "a deny of the app stops everyone through it"


def test_a_token_administers_through_apps_that_are_named_for_it_alone(
    ambit: Installation, issuer: Idp, console: Ask
) -> None:
    _grant(ambit, "ana", "user:ana", "group.read", "*")
    assert console("GET", "/v1/groups").status_code == 200
    _trust(ambit, issuer, admin_apps=["other"])
    assert console("GET", "/v1/groups").status_code == 403
    both = ambit.call("GET", "/v1/groups", issuer.token(), user="bob")
    assert both.status_code in (403, 422)


def test_groups_of_a_token_give_and_deny_while_it_lasts(ambit: Installation, console: Ask) -> None:
    _grant(ambit, "keepers", "group:keepers", "group.*", "group:staff")
    _grant(ambit, "mine", "user:ana", "grant.write", "*")
    with ambit.runtime.db.write() as session:
        directory.put_group(session, ambit.tenant, "keepers")
        directory.put_group(session, ambit.tenant, "temps")
    assert console("GET", "/v1/groups/staff").status_code == 403
    assert console("GET", "/v1/groups/staff", groups=["keepers"]).status_code == 200
    more = {"principals": ["user:eve"], "rights": ["group.read"], "objects": ["group:staff"]}
    assert console("PUT", "/v1/grants/more", more, groups=["keepers"]).status_code == 403, (
        "not for good, so not to give"
    )
    _grant(ambit, "not-temps", "group:temps", "*", "*", effect="deny")
    assert console("GET", "/v1/groups/staff", groups=["keepers", "temps"]).status_code == 403
    many = [f"g{number}" for number in range(300)]
    assert console("GET", "/v1/groups/staff", groups=many).status_code == 403
    own = {"principals": ["user:eve"], "rights": ["grant.write"], "objects": ["grant:x"]}
    assert console("PUT", "/v1/grants/x", own, groups=many).status_code == 403, "one of them might be denied"
    assert console("PUT", "/v1/grants/x", own).status_code == 201


def test_a_person_who_administers_is_shown_what_they_read_or_what_is_there(ambit: Installation, console: Ask) -> None:
    secret = ambit.push(
        "b", "The board meets at dawn.", title="Board", access={"inherit": False, "allow": ["user:eve"]}
    )
    _grant(ambit, "ana", "user:ana", "document.read", "source:notes")
    path = f"/v1/documents/{secret['document_id']}"
    assert console("GET", path).status_code == 404
    assert console("GET", f"{path}?view=admin").status_code == 200
    assert "dawn" not in console("GET", f"{path}?view=admin").text
    assert console("GET", f"{path}/passages").status_code == 404
    assert console("GET", "/v1/documents?view=admin").status_code == 403, "that is over every source"
    assert ambit.call("GET", f"{path}?view=admin", ambit.keys["chat"], user="ana").status_code == 403


def test_two_people_with_tokens_are_two_hands(ambit: Installation, console: Ask, issuer: Idp) -> None:
    ambit.runtime.settings = ambit.runtime.settings.model_copy(update={"widening_people": 1, "widening_documents": 0})
    _grant(ambit, "both", "group:staff", "*", "*")
    with ambit.runtime.db.write() as session:
        user = session.query(User).filter_by(key="bob").one()
        assert link(session, user, {issuer.site.url: "s-bob"})
    held = console("PUT", "/v1/access/entries", {"place": "notes:", "entries": [{"principal": "everyone"}]})
    assert (held.status_code, held.json()["code"]) == (202, "held"), held.text
    path = f"/v1/approvals/{held.json()['approval']}/approve"
    assert console("POST", path).status_code == 403, "nobody approves their own"
    assert console("POST", path, sub="s-bob").status_code == 200


def test_a_forged_token_opens_no_administration(ambit: Installation, issuer: Idp, console: Ask) -> None:
    _grant(ambit, "ana", "user:ana", "*", "*")
    assert console("GET", "/v1/groups").status_code == 200
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    other = ec.generate_private_key(ec.SECP256R1())
    forged = [
        jwt.encode(claims, None, "none", {"kid": "k1"}),
        jwt.encode(claims, "guess" * 10, "HS256", {"kid": "k1"}),
        issuer.token(key=other, kid="k1"),
        issuer.token(exp=1),
        issuer.token(aud="api://another"),
    ]
    for token in forged:
        for method, path, body in (("GET", "/v1/groups", None), ("PUT", "/v1/groups/mine", {"members": ["user:ana"]})):
            answer = ambit.call(method, path, token, json=body)
            assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
    assert console("GET", "/v1/groups/mine").status_code == 404
