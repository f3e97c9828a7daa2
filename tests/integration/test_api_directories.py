"""Directories over HTTP and on the command line, and the documents that follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.declare.applying import apply
from api.declare.shapes import Declared, check
from core.clock import db_in
from core.tables import Directory
from tests.factories import slapd
from tests.factories.slapd import BASE, Slapd, uid
from tests.integration.conftest import Installation


@pytest.fixture
def server() -> Iterator[Slapd]:
    with slapd.running() as made:
        made.person("lea")
        made.group("staff-ldap", uid("lea"))
        yield made


def _declare(ambit: Installation, server: Slapd, **more: Any) -> None:
    config = {
        "url": f"ldaps://localhost:{server.tls_port}", "ca_file": str(server.home / "ca.pem"), "base": BASE,
        "bind_dn": slapd.ADMIN, "bind_password": {"secret": "LDAP"},
    }  # fmt: skip
    body = check("Directory", "corp", {"config": config, **more})
    with ambit.runtime.db.write() as session:
        apply(session, ambit.tenant, [Declared("Directory", "corp", body)], audit=ambit.runtime.audit)


def test_a_directory_gives_and_when_it_is_too_old_no_more(
    ambit: Installation, server: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMBIT_SECRET_LDAP", slapd.PASSWORD)
    settings = ambit.runtime.settings.model_copy(update={"outbound_allow": "localhost"})
    monkeypatch.setattr(ambit.runtime, "settings", settings)
    ambit.push("a", "The canteen opens at noon.", title="Canteen", access={"allow": ["group:staff-ldap"]})
    _declare(ambit, server, max_age="1h")
    assert ambit.admin("GET", "/v1/directories/none").status_code == 404
    assert ambit.call("GET", "/v1/directories", ambit.keys["chat"]).status_code == 403
    assert ambit.admin("GET", "/v1/directories/corp").json()["outcome"] == "never"
    assert "ambit_directories_stale 1.0" in ambit.client.get("/metrics").text
    assert ambit.admin("POST", "/v1/directories/corp/check").json() == {"users": 1, "groups": 1}
    told = ambit.admin("POST", "/v1/directories/corp/sync", json={}).json()
    assert (told["outcome"], told["access"]["fresh"]) == ("succeeded", True)
    assert slapd.PASSWORD not in ambit.admin("GET", "/v1/directories").text
    assert ambit.found("lea@example.org", "canteen") == ["Canteen"]
    assert "ambit_directories_stale 0.0" in ambit.client.get("/metrics").text
    with ambit.runtime.db.write() as session:
        session.query(Directory).one().synced_at = db_in(-3600)
    assert ambit.chat("/v1/retrieve", "lea@example.org", {"query": "canteen"}).status_code == 403
    assert "ambit_directories_stale 1.0" in ambit.client.get("/metrics").text
    assert not ambit.admin("GET", "/v1/directories/corp").json()["access"]["fresh"]
    ambit.admin("POST", "/v1/directories/corp/sync", json={})
    assert ambit.found("lea@example.org", "canteen") == ["Canteen"]


def test_what_cannot_be_read_is_told_without_internals(ambit: Installation, server: Slapd, tmp_path: Path) -> None:
    _declare(ambit, server)
    missing = ambit.admin("POST", "/v1/directories/corp/sync", json={})
    assert (missing.status_code, missing.json()["code"]) == (500, "setting_invalid")
    assert "localhost" not in missing.text
    assert str(tmp_path) not in missing.text
