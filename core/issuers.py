"""The settings of one OIDC issuer whose access tokens are taken."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures with a key pair alone: neither `none` nor an HMAC can be configured."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Issuer(BaseModel):
    """One issuer. Every member is described in docs/identity.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(description="The exact `iss` of its tokens.")
    audience: tuple[str, ...] = Field(min_length=1, description="Values of `aud` that mean this Ambit; one must fit.")
    tenant: str | None = Field(None, description="Tenant that its people are of; absent: the setting `tenant`.")
    algorithms: tuple[Algorithm, ...] = Field(("RS256",), min_length=1, description="Signatures taken.")
    jwks_url: str | None = Field(None, description="Where its keys are; absent: found by OpenID discovery.")
    subject_claim: str = Field("sub", min_length=1, description="Claim with the person's stable id.")
    identities: str | None = Field(
        None, description="Directory whose ids these are, as `scim:<app>` or `ldap:<directory>`."
    )
    groups_claim: str | None = Field(None, description="Claim with the person's groups; absent: none are read.")
    groups: dict[str, str] | None = Field(
        None, description="Ambit's group for each value of that claim; absent: the id, or the directory's id."
    )
    groups_max: int = Field(200, ge=1, le=10_000, description="Most groups taken from a token.")
    attributes: dict[str, str] = Field(default_factory=dict, description="Attribute for each claim to read.")
    app_claim: str = Field("azp", min_length=1, description="Claim with the client that the person used.")
    apps: dict[str, str] = Field(default_factory=dict, description="Ambit's app for each value of that claim.")
    admin_apps: list[str] = Field(
        default_factory=list, description="Ambit's apps through which tokens open administration, as far as grants say."
    )
    app: str | None = Field(None, description="App of tokens whose client is not listed; absent: they are refused.")
    leeway_s: int = Field(30, ge=0, le=300, description="Seconds that clocks may differ.")
    keys_ttl_s: int = Field(600, ge=10, description="Seconds after which keys are fetched again.")
    keys_max_age_s: int = Field(86_400, ge=10, description="Seconds that keys serve while the issuer is away.")
    keys_pause_s: int = Field(30, ge=1, description="Least seconds between two fetches, unknown keys or not.")

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        """Keys that come without TLS could be anyone's; only this machine is believed without."""
        if value is None:
            return None
        parts = urlsplit(value)
        if not parts.hostname or parts.scheme not in ("http", "https"):
            raise ValueError("must be an https:// address")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError("must be an https:// address; http:// is taken from this machine alone")
        return value

    @field_validator("attributes")
    @classmethod
    def _own_names(cls, value: dict[str, str]) -> dict[str, str]:
        taken = sorted({"id", "email", "groups"} & set(value.values()))
        if taken:
            raise ValueError(f"attribute {taken[0]!r} is Ambit's own; choose another name")
        return value

    @model_validator(mode="after")
    def _ages(self) -> Self:
        if self.keys_max_age_s < self.keys_ttl_s:
            raise ValueError("keys_max_age_s must not be below keys_ttl_s")
        return self
