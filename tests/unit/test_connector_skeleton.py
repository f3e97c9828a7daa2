"""`ambit connectors` describes what is there and begins what is not."""

from __future__ import annotations

import ast
import json
import re
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
    ran = run_suite(tmp_path / "wiki")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "MyWikiConnector" in (tmp_path / "wiki/pyproject.toml").read_text()


def test_the_page_on_writing_one_makes_a_connector_of_a_server(tmp_path: Path) -> None:
    """Exactly what it says: definitions take the place of those of the same name."""
    page = (ROOT / "docs/connectors/writing-one.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    write_skeleton("my-wiki", tmp_path)
    for file, block in zip(("ambit_my_wiki.py", "tests/test_ambit_my_wiki.py"), blocks, strict=True):
        (tmp_path / file).write_text(replaced((tmp_path / file).read_text(), block))
    done = run_suite(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "ambit_my_wiki.py").read_text()
    (tmp_path / "ambit_my_wiki.py").write_text(text.replace('"Bearer "', '"Basic "'))
    assert "status 401" in run_suite(tmp_path).stdout, "the suite asks the server"


FAULTS = {
    "nothing closes": ("return CLOSED, Problem", "return AccessSpec(), Problem", "access_that_is_not_understood"),
    "newer text under older access": ("if _version(note) != item.version", "if False", "changed_object_is_not_fetched"),
    "a version of access": ("_version(note),", "_version([note, id(note)]),", "two_listings_agree"),
    "what is gone is listed": ("yield Upsert(item)", "yield Upsert(item); yield Upsert(item)", "sent_once"),
    "resuming loses": ("if item.id <= after", "if after", "nothing_is_lost_by_resuming"),
    "a deletion is a failure": ("raise VanishedError(f", "raise SourceError(f", "vanished_object_is_a_deletion"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_tests_of_a_new_connector_fail_when_it_breaks_a_promise(fault: str, tmp_path: Path) -> None:
    good, bad, said = FAULTS[fault]
    write_skeleton("my-wiki", tmp_path)
    text = (tmp_path / "ambit_my_wiki.py").read_text()
    assert good in text
    (tmp_path / "ambit_my_wiki.py").write_text(text.replace(good, bad))
    done = run_suite(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout


def run_suite(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=folder, env={"PYTHONPATH": f"{folder}:{ROOT}", "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def replaced(module: str, block: str) -> str:
    """`module` with each definition of `block` in the place of its own of that name, and the block's imports."""
    lines, news = module.split("\n"), block.split("\n")
    of_block = ast.parse(block).body
    named = {one.name: one for one in of_block if isinstance(one, ast.FunctionDef | ast.ClassDef)}
    found = [one for one in ast.walk(ast.parse(module)) if getattr(one, "name", None) in named]
    kinds = (ast.FunctionDef, ast.ClassDef)
    for old in sorted((one for one in found if isinstance(one, kinds)), key=lambda one: -one.lineno):
        new = named.pop(old.name)
        indent = " " * old.col_offset
        taken = [f"{indent}{line}" if line else line for line in news[_start(new) - 1 : new.end_lineno]]
        lines[_start(old) - 1 : old.end_lineno] = taken
    assert not named, "it defines what is not there"
    imports = [ast.unparse(one) for one in of_block if isinstance(one, ast.Import | ast.ImportFrom)]
    future = lines.index("from __future__ import annotations") + 1
    return "\n".join([*lines[:future], *imports, *lines[future:]])


def _start(one: ast.FunctionDef | ast.ClassDef) -> int:
    return min([one.lineno, *(decorator.lineno for decorator in one.decorator_list)])


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
