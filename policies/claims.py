"""What a checked token says of its person, beyond who they are; it holds no longer than the token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Claims:
    """Groups and attributes of one token.

    Attributes:
        groups: keys of the groups that it puts its person into; empty with `overage`.
        attributes: name and JSON text of each attribute; one that is stored of the person wins.
        overage: it had more groups than it could name or than are taken, so that which they are is not known.
        nameable: with `overage`, the keys of the groups that it could have named; None: any.
        ends_at: when it ends; None: it does not, as for a caller without a token.
    """

    groups: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    overage: bool = False
    nameable: frozenset[str] | None = None
    ends_at: datetime | None = None

    @cached_property
    def digest(self) -> str:
        """Names what it gives and takes, and not for how long: tokens that say the same share what is cached."""
        if not (self.groups or self.attributes or self.overage):
            return ""
        nameable = None if self.nameable is None else sorted(self.nameable)
        text = json.dumps([self.groups, self.attributes, self.overage, nameable])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def attributes_given(self) -> dict[str, Any]:
        """The attributes, read."""
        return {name: json.loads(text) for name, text in self.attributes}


NO_CLAIMS = Claims()


def claims_of(
    groups: Iterable[str],
    attributes: Mapping[str, Any],
    *,
    overage: bool = False,
    nameable: Iterable[str] | None = None,
    ends_at: datetime | None = None,
) -> Claims:
    """Claims in canonical order; with `overage` the groups that were named are dropped, since they are not all."""
    return Claims(
        groups=() if overage else tuple(sorted(set(groups))),
        attributes=tuple(sorted((name, json.dumps(value, sort_keys=True)) for name, value in attributes.items())),
        overage=overage,
        nameable=None if nameable is None else frozenset(nameable),
        ends_at=ends_at,
    )
