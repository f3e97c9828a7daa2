from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli import checks
from cli.checks import Finding
from core.errors import InvalidError
from embed.index.edge import EdgeIndex
from tests.factories.command_line import Ran, ambit


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder has tests of its own; loading it here would only take time."""
    monkeypatch.setattr(checks, "_encoder", lambda runtime: Finding("encoder", "ok", "not loaded"))


def _states(ran: Ran) -> dict[str, str]:
    return {one["name"]: one["state"] for one in ran.json["checks"]}


def _mend(ran: Ran, name: str) -> Any:
    return next(one["mend"] for one in ran.json["checks"] if one["name"] == name and one["state"] != "ok")


def test_a_sound_installation_passes(tmp_path: Path) -> None:
    ambit(tmp_path / "data", "init")
    ran = ambit(tmp_path / "data", "doctor", "--json")
    assert ran.status == 0
    assert ran.json["ok"] is True
    states = _states(ran)
    assert {name for name, state in states.items() if state == "ok"} >= {"data folder", "keys", "sql", "clock", "index"}
    assert "All is well." in ambit(tmp_path / "data", "doctor").out


def test_nothing_there_is_mended_by_init(tmp_path: Path) -> None:
    ran = ambit(tmp_path / "data", "doctor", "--json")
    assert ran.status == 1
    assert _states(ran)["sql"] == "fail"
    assert _mend(ran, "data folder") == "run `ambit init`"
    assert _mend(ran, "sql") == "run `ambit init`"


def test_keys_that_others_can_read_are_told(tmp_path: Path) -> None:
    ambit(tmp_path / "data", "init")
    (tmp_path / "data" / "keys").chmod(0o644)
    ran = ambit(tmp_path / "data", "doctor", "--json")
    assert ran.status == 1
    assert _mend(ran, "keys").startswith("chmod 600")


def test_an_index_that_another_process_holds_is_told(tmp_path: Path) -> None:
    ambit(tmp_path / "data", "init")
    ambit(tmp_path / "data", "doctor")
    other = EdgeIndex(tmp_path / "data" / "index")
    other._folder.acquire()
    try:
        ran = ambit(tmp_path / "data", "doctor", "--json")
    finally:
        other.close()
    assert _states(ran)["index"] == "fail"
    assert "another process" in _mend(ran, "index") or "stop the other process" in _mend(ran, "index")


def test_each_source_and_secret_is_tried(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "kind: Source\nid: gone\nconnector: folder\nconfig: {path: ./gone}\n---\n"
        "kind: Model\nid: local\nclass: x.Y\narguments: {api_key: {secret: LOCAL_KEY}}\n"
    )
    ambit(tmp_path / "data", "init")
    ambit(tmp_path / "data", "apply", str(tmp_path / "c.yaml"))
    ran = ambit(tmp_path / "data", "doctor", "--json")
    states = _states(ran)
    assert (states["source gone"], states["model local"]) == ("fail", "fail")
    assert _mend(ran, "model local") == "set AMBIT_SECRET_LOCAL_KEY"


def test_servers_that_do_not_answer_are_told_without_their_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ambit(tmp_path / "data", "init")
    monkeypatch.setenv("AMBIT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AMBIT_DATABASE_URL", "postgresql+psycopg://me:hunter2@127.0.0.1:9/x?connect_timeout=2")
    ran = ambit(tmp_path / "data", "doctor", "--json")
    states = _states(ran)
    assert (states["url"], states["sql"]) == ("fail", "fail")
    assert "AMBIT_DATABASE_URL" in _mend(ran, "sql")
    assert "hunter2" not in ran.out + ran.err


def test_a_check_that_raises_is_a_finding_of_its_own() -> None:
    def broken() -> Finding:
        raise ValueError("what was read")

    def refused() -> Finding:
        raise InvalidError("wrong here")

    assert checks._guard("x", broken, "mend") == Finding("x", "fail", "ValueError", "mend")
    assert checks._guard("x", refused, "mend") == Finding("x", "fail", "wrong here", "mend")
