"""The audit: one MACed entry an event, written in the transaction of what it records."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from core.db import now
from core.secrets import Keyring
from core.tables import AuditEntry

_ENTRY = insert(AuditEntry.__table__).inline()  # type: ignore[arg-type]  # a table, though typed as any selectable


class Audit:
    """Appends entries. If one cannot be written, what it records must not happen: the caller's transaction fails."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def append(self, session: Session, tenant: int, kind: str, actor: str, body: dict[str, Any]) -> None:
        """Adds an entry to this transaction.

        `kind` is what happened, as in `query` or `access.change`; `actor` who did it, as a principal or `local`;
        `body` holds ids and counts, never text of documents, questions or answers.
        """
        at = now(session)
        mac = self.mac(tenant, at, kind, actor, body)
        session.flush()
        session.execute(_ENTRY, {"tenant_id": tenant, "at": at, "kind": kind, "actor": actor, "body": body, "mac": mac})

    def mac(self, tenant: int, at: datetime, kind: str, actor: str, body: dict[str, Any]) -> bytes:
        """HMAC-SHA256 over the canonical JSON of an entry."""
        text = json.dumps([tenant, at.isoformat(), kind, actor, body], sort_keys=True, separators=(",", ":"))
        return hmac.new(self._keyring.derive("audit"), text.encode(), hashlib.sha256).digest()
