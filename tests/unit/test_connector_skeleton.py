"""`ambit connectors` describes what is there and begins what is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from core.errors import ConflictError, InvalidError
from ingest.connectors import registry
from ingest.connectors.describe import markdown, tables
from ingest.connectors.skeleton import write_skeleton

ROOT = Path(__file__).resolve().parents[2]


def test_a_new_connector_passes_its_tests(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["connectors", "new", "my-wiki", "--into", str(tmp_path / "wiki"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["files"] == [
        "README.md", "pyproject.toml", "ambit_my_wiki.py", "tests/test_ambit_my_wiki.py",
    ]  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path / "wiki", env={"PYTHONPATH": f"{tmp_path / 'wiki'}:{ROOT}", "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "MyWikiConnector" in (tmp_path / "wiki/pyproject.toml").read_text()


def test_the_example_is_what_new_writes(tmp_path: Path) -> None:
    for name in write_skeleton("json-notes", tmp_path / "new"):
        assert (tmp_path / "new" / name).read_text() == (ROOT / "examples/connector" / name).read_text(), name


@pytest.mark.parametrize("name", ["", "My", "a_b", "../x", "1a", "a--b", "a.b"])
def test_names_that_are_none_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError):
        write_skeleton(name, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("mine")
    with pytest.raises(ConflictError):
        write_skeleton("wiki", tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine.py"]


def test_listing_and_describing_name_every_key() -> None:
    run = CliRunner()
    assert all(name in run.invoke(app, ["connectors", "list"]).output for name in registry.names())
    for name in registry.names():
        shown = run.invoke(app, ["connectors", "describe", name]).output
        schema = json.loads(run.invoke(app, ["connectors", "describe", name, "--json"]).stdout)["schema"]
        keys = [one.key for table in tables(schema) for one in table.settings]
        assert [key for key in keys if key not in shown] == []
        assert [one.key for table in tables(schema) for one in table.settings if not one.meaning] == [], name
    assert run.invoke(app, ["connectors", "describe", "none"]).exit_code == 2


@pytest.mark.parametrize("name", registry.names())
def test_every_connector_has_a_page_with_its_settings_access_limits_and_errors(name: str) -> None:
    page = ROOT / "docs/connectors" / f"{name}.md"
    assert page.exists(), "write docs/connectors/ for it"
    text = page.read_text(encoding="utf-8")
    part = text.partition(f"<!-- generated: {name} -->\n")[2].partition("<!-- end -->")[0]
    assert part.strip() == markdown(registry.describe(name).schema).strip(), "run `make docs`"
    for heading in ("## Configuration", "## Access", "## Errors"):
        assert heading in text
    assert "## Limits" in text or name == "push"
