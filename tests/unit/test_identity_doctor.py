"""`ambit doctor` and `ambit directories` tell of issuers and directories what is wrong and how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.checks import examine
from core.settings import Settings
from tests.factories import slapd
from tests.factories.command_line import ambit
from tests.factories.issuer import idp
from tests.factories.slapd import BASE, uid

DIRECTORY = """
kind: Directory
id: corp
config:
  url: ldaps://localhost:{port}
  ca_file: {ca}
  base: "{base}"
  bind_dn: "{dn}"
  bind_password: {{secret: LDAP}}
max_age: 1h
"""


def test_doctor_asks_every_issuer(tmp_path: Path) -> None:
    with idp() as issuer:
        options = {"data_dir": tmp_path / "data", "oidc": (issuer.settings(),), "encoder": "word-hash"}
        found = {one.name: one for one in examine(Settings(_env_file=None, outbound_allow="127.0.0.1", **options))}
        told = found[f"issuer {issuer.site.url}"]
        assert (told.state, told.detail) == ("ok", "1 keys")
        found = {one.name: one for one in examine(Settings(_env_file=None, **options))}
        told = found[f"issuer {issuer.site.url}"]
        assert told.state == "fail"
        assert "outbound_allow" in told.detail


def test_directories_are_declared_checked_synced_and_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMBIT_SECRET_LDAP", slapd.PASSWORD)
    monkeypatch.setenv("AMBIT_OUTBOUND_ALLOW", "localhost")
    data, file = tmp_path / "data", tmp_path / "corp.yaml"
    with slapd.running() as server:
        server.person("lea")
        server.group("cooks", uid("lea"))
        text = DIRECTORY.format(port=server.tls_port, ca=server.home / "ca.pem", base=BASE, dn=slapd.ADMIN)
        file.write_text(text)
        assert ambit(data, "init").status == 0
        assert ambit(data, "apply", str(file)).status == 0
        listed = ambit(data, "directories", "list", "--json").json["directories"]
        assert (listed[0]["id"], listed[0]["outcome"], listed[0]["access"]["fresh"]) == ("corp", "never", False)
        assert "1 users and 1 groups" in ambit(data, "directories", "check", "corp").out
        assert ambit(data, "directories", "sync", "corp").status == 0
        assert "1 users, 1 groups" in ambit(data, "directories", "list").out
        assert "corp" in ambit(data, "status").out
        told = ambit(data, "status", "--json").json["directories"]
        assert told[0]["access"]["fresh"]
        assert "user:u-" in ambit(data, "groups", "list").out
        missing = ambit(data, "directories", "sync", "none")
        assert missing.status == 2
        again = ambit(data, "apply", str(file), "--json")
        assert again.json["counts"]["unchanged"] == 1
