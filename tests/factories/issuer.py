"""A real OIDC issuer on loopback: its keys over HTTP, its tokens signed with them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from core.issuers import Issuer
from tests.factories.http_site import Reply, Site, serving

AUDIENCE = "api://ambit"
JWKS, DISCOVERY = "/keys", "/.well-known/openid-configuration"


class Idp:
    """Signs with the newest of its keys; `rotate` adds one."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.rotate("k1")
        site.routes[DISCOVERY] = _json({"issuer": site.url, "jwks_uri": site.url + JWKS})

    def rotate(self, kid: str, *, keep: bool = True) -> None:
        """A new key; without `keep` the earlier ones are gone."""
        self.keys = {**(self.keys if keep else {}), kid: ec.generate_private_key(ec.SECP256R1())}
        self.site.routes[JWKS] = _json({"keys": [self.jwk(one) for one in self.keys]})

    def jwk(self, kid: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(self.keys[kid].public_key()))
        return {**told, "kid": kid, "use": "sig", "alg": "ES256"}

    def public_pem(self) -> bytes:
        key = next(iter(self.keys.values())).public_key()
        return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def token(self, sub: str = "s-ana", *, kid: str | None = None, key: Any = None, **claims: Any) -> str:
        """An access token; a claim that is None is left out."""
        name = kid or list(self.keys)[-1]
        body = {
            "iss": self.site.url, "aud": AUDIENCE, "sub": sub, "azp": "spa",
            "iat": int(time.time()), "exp": int(time.time()) + 300, **claims,
        }  # fmt: skip
        body = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(body, key or self.keys[name], "ES256", {"kid": name})

    def settings(self, **more: Any) -> Issuer:
        """The issuer as Ambit is told of it."""
        body = {"issuer": self.site.url, "audience": [AUDIENCE], "algorithms": ["ES256"], "apps": {"spa": "chat"}}
        return Issuer.model_validate(body | more)


def _json(body: Any) -> Reply:
    return Reply(200, json.dumps(body).encode(), {"content-type": "application/json"})


@contextmanager
def idp() -> Iterator[Idp]:
    """An issuer on a free port."""
    with serving() as site:
        yield Idp(site)
