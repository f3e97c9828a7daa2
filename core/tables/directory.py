"""People, groups, apps and their keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import db_now
from core.tables.base import Base, BigId, PrimaryKey, TenantId

OPEN = text("epoch_to IS NULL")


class Principal(Base):
    """A name that entries and memberships speak of, known or not.

    `kind` is user, group, app or everyone. `subject_id` is the user, group or app it means now; null while nothing
    or no single thing answers to it. A user has one principal for the id and may have one for the e-mail.
    """

    __tablename__ = "principal"
    __table_args__ = (
        UniqueConstraint("tenant_id", "kind", "key"),
        Index(None, "tenant_id", "kind", "subject_id"),
    )

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    kind: Mapped[str]
    key: Mapped[str]
    subject_id: Mapped[int | None]


class User(Base):
    """A person, held by a stable key; an e-mail is only a further name."""

    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("tenant_id", "key"), Index(None, "tenant_id", "email"))

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    key: Mapped[str]
    email: Mapped[str | None]
    email_verified: Mapped[bool] = mapped_column(default=True)
    active: Mapped[bool] = mapped_column(default=True)
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    stated: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """By origin (`admin`, `scim:<app>`, `ldap:<directory>`), what it says; the columns above are what follows."""
    epoch_from: Mapped[int]


class Group(Base):
    """A set of people and groups. `origin` is who made it: `admin`, `scim:<app>` or `ldap:<directory>`."""

    __tablename__ = "group"
    __table_args__ = (UniqueConstraint("tenant_id", "key"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    key: Mapped[str]
    origin: Mapped[str] = mapped_column(default="admin")
    epoch_from: Mapped[int]


class ExternalIdentity(Base):
    """What another system calls a user or group: the stable id by which a token, SCIM or LDAP means them.

    `authority` is an issuer's URL, `scim:<app>` or `ldap:<directory>`; an id is unique within it. `body` is what it
    said, for SCIM to give back.
    """

    __tablename__ = "external_identity"
    __table_args__ = (
        UniqueConstraint("tenant_id", "authority", "kind", "external_id"),
        Index(None, "tenant_id", "authority", "kind", "name"),
        Index(None, "tenant_id", "kind", "subject_id"),
    )

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    authority: Mapped[str]
    kind: Mapped[str]
    """`user` or `group`."""
    external_id: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    """The case-folded name it goes by there, such as SCIM's userName or an LDAP DN."""
    subject_id: Mapped[int]
    body: Mapped[dict[str, Any]] = mapped_column(default=dict)
    linked: Mapped[bool] = mapped_column(default=False)
    """An admin linked the user to this id; that stays when the authority takes its own word back."""
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    modified_at: Mapped[datetime] = mapped_column(default=db_now())


class Directory(Base):
    """An LDAP server whose users and groups are copied, and how its last copy went."""

    __tablename__ = "directory"
    __table_args__ = (UniqueConstraint("tenant_id", "key"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    key: Mapped[str]
    config: Mapped[dict[str, Any]]
    schedule: Mapped[str | None]
    """Five cron fields; null: by hand."""
    max_age_s: Mapped[int | None]
    """Age of its data at which it gives nothing any more; null: no limit."""
    state: Mapped[str] = mapped_column(default="active")
    """active or deleted."""
    synced_at: Mapped[datetime | None]
    """Start of the last sync that was read whole and applied."""
    tried_at: Mapped[datetime | None]
    """Start of the last sync, however it ended."""
    outcome: Mapped[str] = mapped_column(default="never")
    """never, succeeded, failed or held (it would remove too much)."""
    told: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Counts of the last sync, or its error."""
    lease_until: Mapped[datetime | None]
    epoch_from: Mapped[int]

    @property
    def origin(self) -> str:
        """Who its memberships and statements come from."""
        return f"ldap:{self.key}"


class Membership(Base):
    """`member` belongs to `container`; closed by `epoch_to`, never deleted."""

    __tablename__ = "membership"
    __table_args__ = (
        Index(
            "uq_membership_open",
            "tenant_id",
            "container_id",
            "member_id",
            "origin",
            unique=True,
            sqlite_where=OPEN,
            postgresql_where=OPEN,
        ),
        Index(
            "ix_membership_member_open",
            "tenant_id",
            "member_id",
            "container_id",
            sqlite_where=OPEN,
            postgresql_where=OPEN,
        ),
    )

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    container_id: Mapped[int]
    """Principal id of the group."""
    member_id: Mapped[int]
    """Principal id of the user or group inside it."""
    origin: Mapped[str] = mapped_column(default="admin")
    epoch_from: Mapped[int]
    epoch_to: Mapped[int | None]


class App(Base):
    """A program that asks for people; its rights only narrow theirs."""

    __tablename__ = "app"
    __table_args__ = (UniqueConstraint("tenant_id", "key"),)

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    key: Mapped[str]
    sources: Mapped[list[str] | None]
    """Keys of the sources it may see; null: all."""
    acts_for: Mapped[list[str]] = mapped_column(default=list)
    """Principals it may name in `X-Ambit-User`."""
    models: Mapped[list[str] | None]
    """Keys of the models it may use; null: all."""
    active: Mapped[bool] = mapped_column(default=True)
    epoch_from: Mapped[int]


class ApiKey(Base):
    """A key of an app: the prefix finds it, a keyed digest proves it; the key itself is stored nowhere."""

    __tablename__ = "api_key"

    id: Mapped[PrimaryKey]
    tenant_id: Mapped[TenantId]
    app_id: Mapped[int] = mapped_column(BigId)
    prefix: Mapped[str] = mapped_column(unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    rights: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
