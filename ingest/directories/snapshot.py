"""A directory as one sync read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import AmbitError


class DirectoryError(AmbitError):
    """A directory could not be read whole, so nothing of it was taken over; what stood stands, and grows older."""

    code = "directory_failed"
    status = 502
    title = "Directory could not be read"
    transient = True


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A person there. `id` never changes; `dn` may."""

    id: str
    dn: str
    email: str | None = None
    active: bool = True
    attributes: Mapping[str, str | list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DirectoryGroup:
    """A group there; `members` are DNs in small letters, of users and groups."""

    id: str
    dn: str
    name: str
    members: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All users and groups, read to the end."""

    users: tuple[DirectoryUser, ...]
    groups: tuple[DirectoryGroup, ...]
