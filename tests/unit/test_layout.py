"""The tree holds what ARCHITECTURE.md's map names, and each file is where its kind belongs."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "answer", "api", "cli", "core", "embed", "evaluation", "gateway",
    "ingest", "migrations", "policies", "retrieve", "workers",
}  # fmt: skip
FOLDERS = PACKAGES | {".ci", "bench", "deploy", "docs", "examples", "tests"}
FILES = {
    ".dockerignore", ".env.example", ".gitattributes", ".gitignore", ".pre-commit-config.yaml", "ARCHITECTURE.md",
    "CHANGELOG.md", "CONTRIBUTING.md", "Dockerfile", "LICENSE", "Makefile", "README.md", "SECURITY.md",
    "docker-compose.yml", "pyproject.toml", "requirements.lock",
}  # fmt: skip


def _paths() -> list[Path]:
    """Every file that is in the repository or would be with `git add`."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = [git, "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True).stdout.split(b"\0")
    return [path for name in names if name and (path := Path(name.decode(errors="surrogateescape"))).parts]


def test_nothing_stands_beside_the_known_folders() -> None:
    strange = {str(path) for path in _paths() if path.parts[0] not in (FOLDERS if len(path.parts) > 1 else FILES)}
    assert strange == set()


def test_code_of_the_packages_is_importable() -> None:
    for path in _paths():
        if path.parts[0] in PACKAGES and path.suffix == ".py" and (ROOT / path).exists():
            assert (ROOT / path.parent / "__init__.py").exists(), f"{path.parent} has no __init__.py"


def test_the_project_file_knows_every_package() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert set(tool["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES
    assert set(tool["importlinter"]["root_packages"]) == PACKAGES


def test_python_files_are_short() -> None:
    """One subject a file; what a program wrote, and the examples, are as long as they are."""
    for path in _paths():
        if path.suffix == ".py" and path.parts[0] in PACKAGES and path.parts[:2] != ("migrations", "versions"):
            file = ROOT / path
            lines = file.read_text(encoding="utf-8").count("\n") if file.exists() else 0
            assert lines <= 400, f"{path} has {lines} lines: split it by subject"
