"""People, groups, apps and keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from api.schemas.base import Body, Key, Line, Plain, Right, Text, Time, View

Email = Annotated[str, StringConstraints(pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$", max_length=320)]

_AUTHORITY = r"^(https?://[^\s\x00-\x1f]+|(scim|ldap):[a-z0-9._-]+)$"
Authority = Annotated[str, StringConstraints(pattern=_AUTHORITY, max_length=500)]


class UserBody(Body):
    """A person, whole: what is absent takes its default."""

    email: Email | None = None
    email_verified: bool = True
    active: bool = True
    attributes: dict[Line, Plain | list[Plain]] = Field(default_factory=dict, max_length=100)
    groups: list[Key] = Field(default_factory=list, description="Groups that an admin put the person in.")
    identities: dict[Authority, Line] = Field(
        default_factory=dict, description="The person's stable id by issuer, `scim:<app>` or `ldap:<directory>`."
    )


class UserView(UserBody):
    """A person. `groups` leaves out those that a source states."""

    id: str


class GroupBody(Body):
    """A group, whole."""

    members: list[Text] = Field(default_factory=list, description="Principals that an admin put in.")
    groups: list[Key] = Field(default_factory=list, description="Groups that this one is a member of.")


class GroupView(GroupBody):
    """A group. `members` leaves out those that a source states."""

    id: str


class AppBody(Body):
    """A program that asks for people, whole."""

    sources: list[Key] | None = Field(None, description="Sources it may see; null: all.")
    acts_for: list[Text] = Field(default_factory=list, description="Principals it may name in `X-Ambit-User`.")
    models: list[Key] | None = Field(None, description="Models it may use; null: all.")
    active: bool = True


class AppView(AppBody):
    """An app."""

    id: str


class KeyBody(Body):
    """A key to make."""

    app: Key
    rights: list[Right] = Field(min_length=1)
    expires_at: Time | None = None


class KeyView(View):
    """A key without what proves it."""

    prefix: str
    app: str
    rights: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKeyView(KeyView):
    """A key, shown this once."""

    key: str


class AccessBody(Body):
    """Whom and what a decision is about."""

    user: Text = Field(description="Id or verified e-mail.")
    document: Line = Field(description="Public id of the document.")
    app: Key | None = Field(None, description="The app through which they would ask; null: none.")


class AccessView(View):
    """A decision and its reason, as docs/access.md lists them."""

    allowed: bool
    reason: str
