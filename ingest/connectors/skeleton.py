"""A new connector's project: the worked example under another name."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from core.errors import ConflictError, InvalidError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
FILES = ("README.md", "pyproject.toml", "{module}.py", "tests/test_{module}.py")


def write_skeleton(name: str, target: Path) -> list[str]:
    """Writes the project of a connector named `name` into the folder `target`; the files' names.

    Raises:
        InvalidError: `name` cannot name a connector.
        ConflictError: `target` holds something already.
    """
    if not _NAME.fullmatch(name):
        raise InvalidError(f"{name!r} cannot name a connector; write small letters and digits, joined by -")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConflictError(f"{target} holds something already; name another folder with --into")
    module = f"ambit_{name.replace('-', '_')}"
    words = {"name": name, "module": module, "Class": "".join(map(str.capitalize, name.split("-")))}
    written = []
    for file in FILES:
        path = _filled(file, words)
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(_filled(_template(file), words), encoding="utf-8")
        written.append(path)
    return written


def _template(file: str) -> str:
    flat = file.replace("{module}", "module").replace("/", "_")
    return (files("ingest.connectors") / "skeleton_files" / f"{flat}.txt").read_text(encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    """Placeholders are written `{name}`; other braces stay."""
    for key, word in words.items():
        text = text.replace(f"{{{key}}}", word)
    return text
