"""The documentation names everything it should: settings, error codes, commands, routes."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench.__main__ import NAMES
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


def _text(name: str) -> str:
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.mark.parametrize("name", ["settings.md", "errors.md", "benchmarks.md"])
def test_generated_parts_are_current(generator: ModuleType, name: str) -> None:
    text = _text(name)
    assert generator.render(DOCS / name) == text, f"docs/{name} is stale: run `make docs`"


def _connectors() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return sorted(project["entry-points"]["ambit.connectors"])


@pytest.mark.parametrize("name", _connectors())
def test_every_connector_has_a_page_made_from_its_schema(generator: ModuleType, name: str) -> None:
    path = DOCS / "connectors" / f"{name}.md"
    text = path.read_text(encoding="utf-8")
    assert f"<!-- generated: {name} -->" in text
    assert generator.render(path) == text, f"{path.name} is stale: run `make docs`"
    for heading in ("## Access", "## Limits"):
        assert f"\n{heading}\n" in text, f"{path.name} does not tell of {heading.removeprefix('## ').lower()}"


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_says_what_it_measures(name: str) -> None:
    told = _text("benchmarks.md").partition("## Results")[0]
    assert re.search(rf"^- .*`{name}`.*:", told, re.MULTILINE)


def test_every_setting_is_documented() -> None:
    text = _text("settings.md")
    assert [name for name in Settings.model_fields if f"`AMBIT_{name.upper()}`" not in text] == []


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_error_code_is_documented(generator: ModuleType) -> None:
    text = _text("errors.md")
    errors = generator.declared_errors()
    assert "not_found" in errors
    assert [code for code in errors if f"| `{code}` |" not in text] == []


def test_every_item_code_is_documented(generator: ModuleType) -> None:
    codes = generator.item_codes()
    assert {"item_empty", "item_vanished"} <= codes
    table = _text("errors.md").partition("## Items of a run")[2]
    documented = set(re.findall(r"^\| `([a-z0-9_]+)` \|", table, re.MULTILINE))
    assert codes - documented == set(), "described nowhere in docs/errors.md"
    assert documented - codes - {"item_failed", "internal"} == set(), "documented, but no code gives them"


def _commands(group: Any, prefix: str) -> list[str]:
    """Every command below a Click group, as it is typed."""
    names: list[str] = []
    for name, command in group.commands.items():
        if getattr(command, "hidden", False):
            continue
        below = _commands(command, f"{prefix} {name}") if hasattr(command, "commands") else []
        names.extend(below or [f"{prefix} {name}"])
    return names


def test_every_command_is_documented() -> None:
    if importlib.util.find_spec("cli.main") is None:
        pytest.skip("there is no command line yet")
    import typer

    app = importlib.import_module("cli.main").app
    commands = _commands(typer.main.get_command(app), "ambit")
    assert commands
    assert [name for name in commands if f"`{name}" not in _text("cli.md")] == [], "missing in docs/cli.md"


def test_every_route_is_documented() -> None:
    routes = {route for path in (ROOT / "api").rglob("*.py") for route in _routes(ast.parse(path.read_text("utf-8")))}
    if not routes:
        pytest.skip("there is no API yet")
    text = _text("api.md")
    missing = [
        f"{method} {path}" for method, path in routes if not re.search(rf"`{method} [^` ]*{re.escape(path)}`", text)
    ]
    assert sorted(missing) == [], "missing in docs/api.md"


def _routes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Method and path of every `@router.get("/path")` of a module, with the prefix of its router."""
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "APIRouter"
    ]
    given = [_literal(word.value) for call in calls for word in call.keywords if word.arg == "prefix"]
    for node in ast.walk(tree):
        for call in getattr(node, "decorator_list", []):
            method = getattr(getattr(call, "func", None), "attr", "")
            if method in {"get", "post", "put", "patch", "delete"} and call.args:
                yield method.upper(), "".join(given[:1]) + _literal(call.args[0])


def _literal(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
