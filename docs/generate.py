#!/usr/bin/env python3
"""Writes the generated parts of the documentation: `python docs/generate.py`, or `--check` to see whether they are new.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; what is around it is written by hand.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pydantic import SecretStr  # noqa: E402 - the root must be on the path first
from pydantic.fields import FieldInfo  # noqa: E402

from bench.page import benchmarks_page, peers_page  # noqa: E402
from core.settings import Settings  # noqa: E402

PACKAGES = (
    "answer", "api", "cli", "core", "embed", "evaluation", "gateway",
    "ingest", "migrations", "policies", "retrieve", "workers",
)  # fmt: skip


@dataclass(frozen=True)
class DesignedError:
    """What the documentation says of an error code; `transient`: trying again may help."""

    status: int
    title: str
    transient: bool
    meaning: str


def settings_table() -> str:
    """One row for each setting."""
    rows = ["| setting | environment | type | default | meaning |", "|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        kind = _cell(f"`{_kind(field.annotation)}`")
        meaning = _cell(f"{field.description}{_limits(field)}")
        rows.append(f"| `{name}` | `AMBIT_{name.upper()}` | {kind} | {_default(field)} | {meaning} |")
    return "\n".join(rows)


def errors_table() -> str:
    """One row for each code that the API and the command line give; item codes stand in a table of their own."""
    rows = ["| code | status | again? | title | meaning |", "|---|---|---|---|---|"]
    for code, error in sorted(declared_errors().items()):
        again = "yes" if error.transient else "no"
        rows.append(f"| `{code}` | {error.status} | {again} | {error.title} | {_cell(error.meaning)} |")
    return "\n".join(rows)


def declared_errors() -> dict[str, DesignedError]:
    """The class that declares each code, read from the source of every package of ours, without importing any."""
    classes = {node.name: node for tree in _trees() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found: dict[str, DesignedError] = {}
    for node in classes.values():
        own, lineage = _constants(node), list(_lineage(node, classes))
        if "code" in own and lineage[-1].name == "AmbitError":
            values = {name: value for ancestor in reversed(lineage) for name, value in _constants(ancestor).items()}
            meaning = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
            found[own["code"]] = DesignedError(values["status"], values["title"], values["transient"], meaning)
    return found


def item_codes() -> set[str]:
    """Every code that an item of a run can carry, read from the source: the literals given to `ItemError` and kin."""
    return {code for tree in _trees() for code in _codes_in(tree)}


def connector_tables(name: str) -> str:
    """What the connector `name` takes, from its schema."""
    from ingest.connectors.describe import markdown
    from ingest.connectors.registry import describe

    return markdown(describe(name).schema)


PARTS: dict[Path, dict[str, Callable[[], str]]] = {
    ROOT / "docs" / "settings.md": {"settings": settings_table},
    ROOT / "docs" / "errors.md": {"errors": errors_table},
    ROOT / "docs" / "benchmarks.md": {"benchmarks": benchmarks_page, "peers": peers_page},
    **{
        path: {path.stem: partial(connector_tables, path.stem)}
        for path in sorted((ROOT / "docs" / "connectors").glob("*.md"))
        if f"<!-- generated: {path.stem} -->" in path.read_text(encoding="utf-8")
    },
}


def render(path: Path) -> str:
    """The file's text with its generated parts made anew."""
    text = path.read_text(encoding="utf-8")
    for name, make in PARTS[path].items():
        head, opening, rest = text.partition(f"<!-- generated: {name} -->\n")
        _, closing, tail = rest.partition("<!-- end -->")
        if not opening or not closing:
            raise SystemExit(f"{path} needs a part generated: {name}, closed by <!-- end -->")
        text = f"{head}{opening}{make()}\n{closing}{tail}"
    return text


def main(arguments: list[str]) -> int:
    """Exit status 1 where `--check` finds a file that is not current."""
    stale = [path for path in PARTS if render(path) != path.read_text(encoding="utf-8")]
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if "--check" not in arguments:
            path.write_text(render(path), encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


def _kind(annotation: Any) -> str:
    """A type as a reader of settings thinks of it."""
    if get_origin(annotation) is Literal:
        return " | ".join(str(value) for value in get_args(annotation))
    if get_origin(annotation) is tuple:
        return "list"
    if get_origin(annotation) in {Union, UnionType}:
        return " | ".join(_kind(part) for part in get_args(annotation) if part is not type(None))
    names = {SecretStr: "secret text", str: "text", Path: "path", int: "integer", float: "number", bool: "true | false"}
    return names.get(annotation, str(annotation))


def _default(field: FieldInfo) -> str:
    return "absent" if field.default is None else f"`{field.default}`"


def _limits(field: FieldInfo) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    parts = [
        f"{word} {getattr(item, key)}" for item in field.metadata for key, word in words.items() if hasattr(item, key)
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _trees() -> Iterator[ast.Module]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def _constants(node: ast.ClassDef) -> dict[str, Any]:
    """The class's own attributes that are given as literals."""
    found: dict[str, Any] = {}
    for part in node.body:
        target = part.targets[0] if isinstance(part, ast.Assign) else getattr(part, "target", None)
        value = getattr(part, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            found[target.id] = value.value
    return found


def _lineage(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    """The class and its first bases, as far as they are ours."""
    yield node
    known = [classes[_name(base)] for base in node.bases if _name(base) in classes]
    if known and known[0] is not node:
        yield from _lineage(known[0], classes)


def _codes_in(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(_name(base).endswith("ItemError") for base in node.bases):
            calls = (call for call in ast.walk(node) if isinstance(call, ast.Call) and _name(call.func) == "__init__")
            found.update(_literals(call, 0) for call in calls)
        elif isinstance(node, ast.Call) and _name(node.func) == "ItemError":
            found.update([_literals(node, 0)])
        elif isinstance(node, ast.Call) and _name(node.func) == "Problem":
            found.update([_literals(node, 1)])
    return found - {""}


def _literals(call: ast.Call, position: int) -> str:
    """The code a call is given, as its argument at `position` or by name; empty where it is no literal."""
    given = [word.value for word in call.keywords if word.arg == "code"] or call.args[position : position + 1]
    return next((node.value for node in given if isinstance(node, ast.Constant) and isinstance(node.value, str)), "")


def _name(node: ast.expr) -> str:
    return getattr(node, "id", "") or getattr(node, "attr", "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
