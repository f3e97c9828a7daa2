"""The audit: one MACed entry an event, written in the transaction of what it records."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from sqlalchemy.orm import Session

from core.db import now
from core.prepared import insertion
from core.secrets import Keyring
from core.tables import AuditEntry

EVENTS = frozenset(
    {
        "act_as", "answer", "document.read", "query", "access.history", "access.review", "access.simulate",
        "access.who_can_read", "admin.access.check", "admin.access.explain", "admin.access.history",
        "admin.access.review", "admin.access.simulate", "admin.access.who_can_read",
    }
)  # fmt: skip
"""What leaves an entry although it changes nothing; every other kind tells what was before and what is after."""
SEALED = ("tenant_id", "at", "kind", "actor", "body", "request")
"""What of an entry its MAC proves."""
_ENTRY = insertion(AuditEntry, *SEALED, "mac")
REQUEST: ContextVar[str | None] = ContextVar("ambit_request", default=None)
"""Id of the HTTP request that is being served; None: it is none."""


class Audit:
    """Appends entries. If one cannot be written, what it records must not happen: the caller's transaction fails."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def append(
        self, session: Session, tenant: int, kind: str, actor: str, body: dict[str, Any], *, request: str | None = None
    ) -> None:
        """Adds an entry of what happened to this transaction; of what changed something, `change`.

        `kind` is what happened, one of `EVENTS`; `actor` who did it, as a principal or `local`;
        `body` holds ids and counts, never text of documents, questions or answers. `request` None: the one that is
        being served here.
        """
        if kind not in EVENTS and not {"before", "after"} <= body.keys():
            raise ValueError(f"{kind} changes something: tell what was and is with `change`")
        request = request or REQUEST.get()
        values = (tenant, now(session), kind, actor, body, request)
        entry = dict(zip(SEALED, values, strict=True))
        _ENTRY.all(session, **entry, mac=self.mac(entry))

    def change(
        self, session: Session, tenant: int, kind: str, actor: str, body: dict[str, Any], *, before: Any, after: Any
    ) -> None:
        """As `append`, of what changed something: what it was and what it is; None: it was not, or is not."""
        self.append(session, tenant, kind, actor, {**body, "before": before, "after": after})

    def mac(self, entry: Mapping[str, Any]) -> bytes:
        """HMAC-SHA256 over the canonical JSON of what `SEALED` names of an entry."""
        told = [entry["tenant_id"], entry["at"].isoformat(), *(entry[name] for name in SEALED[2:])]
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hmac.new(self._keyring.derive("audit"), text.encode(), hashlib.sha256).digest()

    def redaction(self, mac: bytes, entry: Mapping[str, Any]) -> bytes:
        """What proves an entry that names were struck out of: HMAC-SHA256 over its first MAC and what is left of it."""
        return hmac.new(self._keyring.derive("audit-redaction"), mac + self.mac(entry), hashlib.sha256).digest()

    def link(self, previous: bytes, seq: int, mac: bytes) -> bytes:
        """The chain's value at an entry: HMAC-SHA256 over the value before, the place and the entry's own MAC."""
        text = previous + seq.to_bytes(8, "big") + mac
        return hmac.new(self._keyring.derive("audit-chain"), text, hashlib.sha256).digest()
