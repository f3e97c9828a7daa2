"""The configuration of an LDAP directory."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator


class LdapConfig(BaseModel):
    """How to reach the server and what of it to copy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="`ldaps://host[:port]`, or `ldap://host[:port]`, which is raised to TLS (StartTLS).")
    start_tls: bool = Field(True, description="For ldap://; false is taken for this machine alone.")
    ca_file: Path | None = Field(None, description="Certificates to trust; absent: the system's.")
    bind_dn: str | None = Field(None, description="DN to bind as; absent: anonymously.")
    bind_password: SecretStr | None = Field(None, description="Its password, as `{secret: NAME}`.")
    base: str = Field(min_length=1, description="DN below which users and groups stand.")
    groups_base: str | None = Field(None, description="DN below which groups stand; absent: `base`.")
    users: str = Field("(objectClass=person)", description="Filter for users.")
    disabled: str | None = Field(None, description="Filter for users who are disabled.")
    groups: str = Field(
        "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=group))",
        description="Filter for groups.",
    )
    id_attribute: str = Field("entryUUID", description="Attribute with the stable id (`objectGUID` in AD).")
    email_attribute: str = Field("mail", description="Attribute with the address.")
    name_attribute: str = Field("cn", description="Attribute of a group that its id is made of.")
    member_attributes: tuple[str, ...] = Field(
        ("member", "uniqueMember"), min_length=1, description="Attributes of a group with the DNs of its members."
    )
    attributes: dict[str, str] = Field(
        default_factory=lambda: {"department": "departmentNumber"},
        description="The LDAP attribute for each attribute that rules may read.",
    )
    page_size: int = Field(500, ge=10, le=5000, description="Entries asked for at a time.")
    timeout_s: float = Field(30.0, gt=0, le=600, description="Seconds one answer may take.")
    max_entries: int = Field(500_000, ge=1, description="Entries above which a sync fails.")

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("must be ldaps://host or ldap://host, with a port where it is another than usual")
        return value

    @field_validator("attributes")
    @classmethod
    def _own_names(cls, value: dict[str, str]) -> dict[str, str]:
        taken = sorted({"id", "email", "groups"} & set(value))
        if taken:
            raise ValueError(f"attribute {taken[0]!r} is Ambit's own; choose another name")
        return value

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if self.scheme == "ldap" and not self.start_tls and not _is_local(self.host):
            raise ValueError("start_tls: false would send the password and everybody's groups in the clear")
        if (self.bind_dn is None) != (self.bind_password is None):
            raise ValueError("bind_dn and bind_password belong together")
        return self

    @property
    def scheme(self) -> str:
        """`ldap` or `ldaps`."""
        return urlsplit(self.url).scheme

    @property
    def host(self) -> str:
        """The server's name, which its certificate must bear."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port, the usual one where none is given."""
        return urlsplit(self.url).port or (636 if self.scheme == "ldaps" else 389)


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
