"""The resources served, and what the service says of itself."""

from __future__ import annotations

from typing import Any, Final

from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    EnterpriseUser,
    ETag,
    Filter,
    Group,
    ListResponse,
    Meta,
    Patch,
    Resource,
    ResourceType,
    Schema,
    ScimPolicy,
    ServiceProviderConfig,
    Sort,
    User,
)

MAX_RESULTS: Final = 200
BASE: Final = "/scim/v2"
ScimUser = User[EnterpriseUser]
TOLERANT: Final = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
"""What Entra ID and Okta send beyond the letter of the RFC is understood."""


def service_provider_config() -> dict[str, Any]:
    """What is supported."""
    scheme = AuthenticationScheme(
        type="oauthbearertoken",
        name="API key",
        description="A key of an app with the right `provision`, as a bearer token.",
        primary=True,
    )
    told = ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=MAX_RESULTS),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=False),
        etag=ETag(supported=True),
        authentication_schemes=[scheme],
        meta=Meta(resource_type="ServiceProviderConfig", location=f"{BASE}/ServiceProviderConfig"),
    )
    return told.model_dump()


def resource_types() -> dict[str, ResourceType]:
    """The types by name."""
    found = {}
    for model in (ScimUser, Group):
        one = ResourceType.from_resource(model)
        one.meta = Meta(resource_type="ResourceType", location=f"{BASE}/ResourceTypes/{one.id}")
        found[str(one.id)] = one
    return found


def schemas() -> dict[str, Schema]:
    """The schemas by URN."""
    found = {}
    for model in (User, Group, EnterpriseUser):
        one = model.to_schema()
        one.meta = Meta(resource_type="Schema", location=f"{BASE}/Schemas/{one.id}")
        found[str(one.id)] = one
    return found


def listed(rows: list[dict[str, Any]], *, total: int | None = None, start: int = 1) -> dict[str, Any]:
    """A list response around resources that are already plain JSON."""
    return {
        "schemas": [str(ListResponse.__schema__)],
        "totalResults": len(rows) if total is None else total,
        "startIndex": start,
        "itemsPerPage": len(rows),
        "Resources": rows,
    }


def plain(resource: Resource[Any]) -> dict[str, Any]:
    """What of a resource is stored: what its owner said, without what Ambit adds."""
    told = resource.model_dump()
    return {name: value for name, value in told.items() if name not in {"id", "meta", "groups", "members", "password"}}
