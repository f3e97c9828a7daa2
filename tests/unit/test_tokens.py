"""Access tokens: what is taken, what is refused and in which words, and how the issuer's keys are come by."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from api.tokens.check import Tokens
from api.tokens.errors import IssuerUnavailableError, TokenError
from api.tokens.keys import IssuerKeys
from core.issuers import Issuer
from core.outbound import Outbound
from tests.factories.http_site import Reply
from tests.factories.issuer import AUDIENCE, DISCOVERY, JWKS, Idp, idp

LOCAL = ("127.0.0.1",)


@pytest.fixture
def issuer() -> Iterator[Idp]:
    with idp() as made:
        yield made


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes what a test opens."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def tokens(issuer: Idp, opened: ExitStack) -> Tokens:
    return _tokens(opened, issuer.settings())


def _tokens(opened: ExitStack, *issuers: Issuer) -> Tokens:
    made = Tokens(issuers, LOCAL)
    opened.callback(made.close)
    return made


def _keys(opened: ExitStack, issuer: Issuer, now: list[float]) -> IssuerKeys:
    http = Outbound(LOCAL)
    opened.callback(http.close)
    return IssuerKeys(issuer, http, lambda: now[0])


def _raw(header: dict[str, Any], body: dict[str, Any], secret: bytes = b"") -> str:
    """A token put together by hand, as an attacker would."""
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (header, body)]
    signed = b".".join(parts)
    mac = hmac.new(secret, signed, hashlib.sha256).digest() if secret else b""
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def _claims(issuer: Idp) -> dict[str, Any]:
    return {"iss": issuer.site.url, "aud": AUDIENCE, "sub": "s-ana", "azp": "spa", "exp": int(time.time()) + 300}


def test_a_good_token_says_who_and_until_when(issuer: Idp, tokens: Tokens) -> None:
    token = tokens.check(issuer.token("s-ana", exp=2_000_000_000))
    assert (token.subject, token.client, token.groups, token.overage) == ("s-ana", "spa", (), False)
    assert token.ends_at.timestamp() == 2_000_000_030


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "lacks the claim exp"),
        ({"exp": "never"}, "does not hold"),
        ({"aud": "api://another"}, "another audience"),
        ({"aud": None}, "lacks the claim aud"),
        ({"iss": "https://evil.example"}, "not configured"),
        ({"iss": None}, "not configured"),
        ({"nbf": 9_999_999_999}, "not valid yet"),
        ({"sub": None}, "lacks the claim sub"),
        ({"sub": "x" * 300}, "is no id"),
        ({"groups": ["x" * 40_000]}, "longer than"),
    ],
)
def test_a_token_that_does_not_hold_is_refused_with_the_reason(
    issuer: Idp, tokens: Tokens, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(TokenError, match=said) as refused:
        tokens.check(issuer.token(**change))
    assert refused.value.status == 401


def test_no_signature_is_refused(issuer: Idp, tokens: Tokens) -> None:
    for algorithm in ("none", "None", "NONE", ""):
        with pytest.raises(TokenError, match=r"its signature is none of ES256|header cannot be read"):
            tokens.check(_raw({"alg": algorithm, "kid": "k1", "typ": "JWT"}, _claims(issuer)))


def test_an_hmac_with_the_public_key_as_its_secret_is_refused(issuer: Idp, tokens: Tokens) -> None:
    for secret in (issuer.public_pem(), json.dumps(issuer.jwk("k1")).encode()):
        with pytest.raises(TokenError, match="its signature is none of ES256"):
            tokens.check(_raw({"alg": "HS256", "kid": "k1"}, _claims(issuer), secret))


def test_a_token_of_another_key_under_a_known_name_is_refused(issuer: Idp, tokens: Tokens) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(TokenError, match="signature does not fit"):
        tokens.check(issuer.token(key=other, kid="k1"))
    weak = jwt.encode(_claims(issuer), rsa.generate_private_key(65537, 2048), "RS256", {"kid": "k1"})
    with pytest.raises(TokenError, match="its signature is none of ES256"):
        tokens.check(weak)


@pytest.mark.parametrize("text", ["", "a.b.c", "....", "a.b", "\x00.\x00.\x00", "é.é.é", "e30.e30.", "W10.W10.AA"])
def test_what_is_no_token_is_refused(tokens: Tokens, text: str) -> None:
    with pytest.raises(TokenError):
        tokens.check(text)


def test_a_token_changed_after_it_was_signed_is_refused(issuer: Idp, tokens: Tokens) -> None:
    head, body, signature = issuer.token("s-bob").split(".")
    told = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**told, "sub": "s-ana"}).encode()).rstrip(b"=").decode()
    with pytest.raises(TokenError, match="signature does not fit"):
        tokens.check(f"{head}.{forged}.{signature}")


def test_algorithms_without_a_key_pair_cannot_be_configured() -> None:
    for algorithm in ("none", "HS256", "HS512"):
        with pytest.raises(ValidationError):
            Issuer.model_validate({"issuer": "https://i.example", "audience": ["a"], "algorithms": [algorithm]})
    for address in ("http://i.example", "ftp://i.example", "i.example"):
        with pytest.raises(ValidationError):
            Issuer.model_validate({"issuer": address, "audience": ["a"]})
    with pytest.raises(ValidationError, match="own"):
        Issuer.model_validate({"issuer": "https://i.example", "audience": ["a"], "attributes": {"x": "groups"}})


def test_a_new_key_is_found_and_a_withdrawn_one_ends(issuer: Idp, opened: ExitStack) -> None:
    now = [1000.0]
    keys = _keys(opened, issuer.settings(), now)
    assert keys.find("k1", "ES256") is not None
    issuer.rotate("k2")
    assert keys.find("k2", "ES256") is None, "within the pause nobody makes it ask again"
    now[0] += 31
    assert keys.find("k2", "ES256") is not None
    issuer.rotate("k3", keep=False)
    assert keys.find("k1", "ES256") is not None
    now[0] += 601
    assert keys.find("k1", "ES256") is None, "keys are fetched again after their time"
    assert issuer.site.asked(JWKS) == 3


def test_unknown_keys_cannot_make_it_hammer_the_issuer(issuer: Idp, tokens: Tokens) -> None:
    for number in range(50):
        with pytest.raises(TokenError, match="does not have"):
            tokens.check(issuer.token(key=issuer.keys["k1"], kid=f"x{number}"))
    assert issuer.site.asked(JWKS) == 1


def test_held_keys_serve_while_the_issuer_is_away_and_no_longer(issuer: Idp, opened: ExitStack) -> None:
    now = [0.0]
    keys = _keys(opened, issuer.settings(keys_ttl_s=60, keys_max_age_s=3600), now)
    assert keys.find("k1", "ES256") is not None
    issuer.site.routes[JWKS] = Reply(503, b"away")
    now[0] = 3599.0
    assert keys.find("k1", "ES256") is not None
    now[0] = 3600.0
    with pytest.raises(IssuerUnavailableError):
        keys.find("k1", "ES256")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": [1, {"kty": "oct", "k": "AAAA"}]}'])
def test_an_issuer_without_usable_keys_is_unavailable(issuer: Idp, tokens: Tokens, body: bytes) -> None:
    issuer.site.routes[JWKS] = Reply(200, body)
    with pytest.raises(IssuerUnavailableError) as away:
        tokens.check(issuer.token())
    assert (away.value.status, away.value.transient) == (503, True)


def test_discovery_that_speaks_of_another_issuer_is_not_believed(issuer: Idp, tokens: Tokens) -> None:
    told = {"issuer": "https://evil.example", "jwks_uri": issuer.site.url + JWKS}
    issuer.site.routes[DISCOVERY] = Reply(200, json.dumps(told).encode())
    with pytest.raises(IssuerUnavailableError):
        tokens.check(issuer.token())
    assert issuer.site.asked(JWKS) == 0


def test_a_private_issuer_must_be_on_the_allow_list(issuer: Idp) -> None:
    guarded = Tokens([issuer.settings()])
    with pytest.raises(IssuerUnavailableError):
        guarded.check(issuer.token())
    assert issuer.site.requests == []
    guarded.close()


@pytest.mark.parametrize(
    "change",
    [
        {"groups": [f"g{number}" for number in range(300)]},
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example"}}},
        {"hasgroups": True},
        {"hasgroups": "true"},
        {"groups": "staff"},
        {"groups": ["staff", 7]},
        {"groups": None, "hasgroups": True},
    ],
)
def test_groups_that_are_not_whole_are_none(issuer: Idp, opened: ExitStack, change: dict[str, Any]) -> None:
    told = _tokens(opened, issuer.settings(groups_claim="groups")).check(issuer.token(**change))
    assert (told.groups, told.overage) == ((), True)


def test_groups_and_attributes_are_read_as_the_settings_map_them(issuer: Idp, opened: ExitStack) -> None:
    settings = issuer.settings(groups_claim="groups", attributes={"dept": "department", "x": "y", "teams": "teams"})
    claims = {"groups": ["a", "b"], "dept": "law", "x": {"deep": 1}, "teams": ["q"]}
    told = _tokens(opened, settings).check(issuer.token(**claims))
    assert (told.groups, told.overage) == (("a", "b"), False)
    assert told.attributes == {"department": "law", "teams": ["q"]}
