"""A change cannot be recorded without what was and what is."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from core.audit import EVENTS, Audit
from core.db import Database
from core.secrets import Keyring
from core.tables import AuditEntry
from policies.directory import put_tenant


def test_what_is_no_event_tells_before_and_after(sqlite_db: Database, tmp_path: Path) -> None:
    audit = Audit(Keyring(tmp_path / "keys"))
    with sqlite_db.write() as session:
        tenant = put_tenant(session, "company").id
        with pytest.raises(ValueError, match="tell what was"):
            audit.append(session, tenant, "admin.group.put", "local", {"group": "staff", "after": {}})
        audit.change(session, tenant, "admin.group.put", "local", {"group": "staff"}, before=None, after={})
        for kind in sorted(EVENTS):
            audit.append(session, tenant, kind, "local", {})
        assert session.scalars(select(AuditEntry.body)).first() == {"group": "staff", "before": None, "after": {}}
