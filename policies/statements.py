"""What several origins say of one user, and what follows from it.

Each origin (`admin`, `scim:<app>`, `ldap:<directory>`) replaces only what it said itself. A person is active where
nobody says otherwise; an admin's address and attributes win over a directory's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ADMIN = "admin"


def statement(
    *, email: str | None, active: bool, email_verified: bool, attributes: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What one origin says."""
    return {
        "email": email.casefold() if email else None,
        "email_verified": email_verified,
        "active": active,
        "attributes": dict(attributes or {}),
    }


def merged(stated: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What follows: active only where every origin says so, the first address, attributes with the first's winning."""
    told = [stated[origin] for origin in in_order(stated)]
    address = next((one for one in told if one["email"]), None)
    attributes: dict[str, Any] = {}
    for one in reversed(told):
        attributes |= one["attributes"]
    return {
        "email": address["email"] if address else None,
        "email_verified": bool(address["email_verified"]) if address else True,
        "active": bool(told) and all(one["active"] for one in told),
        "attributes": attributes,
    }


def in_order(stated: Mapping[str, Any]) -> list[str]:
    """Origins by weight: an admin, then the others by name."""
    return sorted(stated, key=lambda origin: (origin != ADMIN, origin))
