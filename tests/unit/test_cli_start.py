from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli import context
from tests.factories.command_line import ROOT, ambit

HEAVY = ("torch", "sqlalchemy", "sentence_transformers", "qdrant_edge", "qdrant_client", "fastapi", "alembic",
         "unstructured", "llama_index", "numpy", "httpx", "celery")  # fmt: skip


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    for name in list(os.environ):
        if name.startswith("AMBIT_"):
            monkeypatch.delenv(name)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.mark.parametrize("arguments", [["--help"], ["sync", "--help"], ["serve", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cli.main", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert loaded & set(HEAVY) == set()


def test_init_makes_an_installation_and_is_safe_to_repeat(tmp_path: Path) -> None:
    first = ambit(tmp_path / "data", "init", "--json")
    assert (first.status, first.json["state"]) == (0, "made")
    keys = (tmp_path / "data" / "keys").read_bytes()
    again = ambit(tmp_path / "data", "init", "--json")
    assert again.json == {**first.json, "state": "up to date"}
    assert (tmp_path / "data" / "keys").read_bytes() == keys
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert (tmp_path / "data" / "keys").stat().st_mode & 0o077 == 0


def test_init_says_what_comes_next(tmp_path: Path) -> None:
    told = ambit(tmp_path / "data", "init").out
    assert "ambit apply" in told
    assert "ambit serve" in told


@pytest.mark.parametrize(
    "command",
    [["status"], ["sync"], ["runs", "list"], ["ask", "x", "--as", "ana"], ["keys", "list"], ["sources", "list"],
     ["access", "check", "ana", "files:x"], ["groups", "list"]],
)  # fmt: skip
def test_without_an_installation_each_command_says_how_to_make_one(tmp_path: Path, command: list[str]) -> None:
    ran = ambit(tmp_path / "data", *command)
    assert ran.status == 2
    assert ran.err.startswith("error [not_found]: ")
    assert "`ambit init`" in ran.err
    assert not (tmp_path / "data").exists()


def test_options_hold_before_and_after_the_command(tmp_path: Path) -> None:
    ambit(tmp_path / "a", "init")
    assert ambit(tmp_path / "b", "status", "--json", "--data-dir", str(tmp_path / "a")).status == 0
    assert ambit(tmp_path / "a", "--json", "status").json["data_dir"] == str(tmp_path / "a")
    missing = ambit(tmp_path / "a", "--tenant", "other", "--json", "status")
    assert missing.json["code"] == "not_found"
    assert "'other'" in missing.json["detail"]


def test_an_error_as_json_is_all_there_is(tmp_path: Path) -> None:
    ran = ambit(tmp_path / "data", "status", "--json")
    assert ran.status == 2
    assert {"code", "detail", "title", "status"} <= set(ran.json)
    assert ran.err == ""


def test_a_wrong_setting_is_named_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMBIT_PORT", "many")
    ran = ambit(tmp_path / "data", "init")
    assert ran.status == 2
    assert "error [setting_invalid]: setting 'port'" in ran.err
    assert "the environment variable AMBIT_PORT" in ran.err
    assert "ambit.toml" in ran.err


def test_a_wrong_setting_in_a_file_is_named_with_the_file(tmp_path: Path) -> None:
    Path("ambit.toml").write_text("worker_threads = 0\n")
    assert f"worker_threads in {Path('ambit.toml').absolute()}" in ambit(tmp_path / "data", "init").err
    Path("ambit.toml").unlink()
    Path(".env").write_text("AMBIT_LEASE_S=never\n")
    assert f"AMBIT_LEASE_S in {Path('.env').absolute()}" in ambit(tmp_path / "data", "init").err


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    Path("ambit.toml").write_text("prot = 1\n")
    ran = ambit(tmp_path / "data", "init")
    assert "there is no setting 'prot'" in ran.err
    Path("ambit.toml").write_text("port = \n")
    assert "is not TOML" in ambit(tmp_path / "data", "init").err


def test_a_secret_with_a_wrong_value_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMBIT_DATABASE_URL", "nonsense-hunter2")
    ran = ambit(tmp_path / "data", "status")
    assert ran.status == 2
    assert "hunter2" not in ran.out + ran.err


@pytest.mark.parametrize("json_", [True, False])
def test_what_was_not_foreseen_ends_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, json_: bool
) -> None:
    def broken(self: object) -> object:
        raise RuntimeError("text of a document")

    monkeypatch.setattr(context.Context, "settings", property(broken))
    ran = ambit(tmp_path, "init", *(["--json"] if json_ else []))
    assert ran.status == 2
    assert "RuntimeError" in ran.out + ran.err
    assert "text of a document" not in ran.out + ran.err
    assert "Traceback" not in ran.err


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert ambit(tmp_path, "version", "--json").json["version"].count(".") == 2


def test_a_worker_without_a_broker_says_who_works_instead(tmp_path: Path) -> None:
    ran = ambit(tmp_path, "worker")
    assert ran.status == 2
    assert "AMBIT_BROKER_URL" in ran.err
    assert "`ambit serve` does the work" in ran.err


def test_serving_the_api_alone_needs_work_done_elsewhere(tmp_path: Path) -> None:
    ran = ambit(tmp_path, "serve", "--api-only")
    assert ran.status == 2
    assert "AMBIT_INDEX_URL" in ran.err
