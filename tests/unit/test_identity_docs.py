"""docs/identity.md: its examples are taken as they stand, and its tables name every member."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from api.declare.shapes import check
from core.issuers import Issuer
from core.settings import Settings
from ingest.directories.config import LdapConfig

TEXT = (Path(__file__).parents[2] / "docs" / "identity.md").read_text("utf-8")


def _fenced(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_issuer_shown_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = _fenced("toml")
    assert len(shown) == 4
    for text in shown:
        (tmp_path / "ambit.toml").write_text(text)
        (issuer,) = Settings(_env_file=None).oidc
        assert issuer.issuer == tomllib.loads(text)["oidc"][0]["issuer"]
    monkeypatch.setenv("AMBIT_OIDC", '[{"issuer": "https://login.example.com", "audience": ["ambit"]}]')
    assert Settings(_env_file=None).oidc[0].algorithms == ("RS256",)


def test_every_declaration_shown_is_taken() -> None:
    kinds = []
    for text in _fenced("yaml"):
        body = yaml.safe_load(text)
        kinds.append(body.pop("kind"))
        check(kinds[-1], body.pop("id"), body)
    assert kinds == ["User", "Directory"]


def test_every_member_is_described() -> None:
    assert [name for name in Issuer.model_fields if f"\n| `{name}` |" not in TEXT] == []
    assert [name for name in LdapConfig.model_fields if not re.search(rf"^\|[^|]*`{name}`", TEXT, re.MULTILINE)] == []
